// The official JavaScript SDK fetches signed URLs from https only: a small proxy in this process holds a
// certificate and passes everything on to the emulator's storage.
'use strict'

const fs = require('node:fs')
const http = require('node:http')
const https = require('node:https')
const path = require('node:path')

/** Listens, and answers its own URL. `storage` tells the storage's address, once it is known. */
exports.lendTls = async (work, storage) => {
  const tls = { key: fs.readFileSync(path.join(work, 'key.pem')), cert: fs.readFileSync(path.join(work, 'cert.pem')) }
  const front = https.createServer(tls, (request, answer) => {
    const onward = http.request(
      `http://${storage()}${request.url}`,
      { method: request.method, headers: request.headers },
      reply => {
        answer.writeHead(reply.statusCode, reply.headers)
        reply.pipe(answer)
      },
    )
    onward.on('error', () => answer.destroy())
    request.pipe(onward)
  })
  await new Promise(resolve => { front.listen(0, '127.0.0.1', resolve) })
  return `https://127.0.0.1:${front.address().port}`
}
