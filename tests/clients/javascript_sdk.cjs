// The official JavaScript SDK (`files.com` on npm) against the emulator.
//
// It has an emulator of its own, whose signed URLs lead to a proxy that speaks TLS.
'use strict'

const assert = require('node:assert/strict')
const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { spawn } = require('node:child_process')
const { Readable } = require('node:stream')

const Files = require('files.com/lib/Files').default
const File = require('files.com/lib/models/File').default
const Folder = require('files.com/lib/models/Folder').default
const Session = require('files.com/lib/models/Session').default
const { LogLevel } = require('files.com/lib/Logger')
const { lendTls } = require('./javascript_tls.cjs')

const { WORK, EMULATOR_KEY, EMULATOR_READ_ONLY_KEY, EMULATOR_USER, EMULATOR_PASSWORD, EMULATOR_PROGRAM } = process.env
const ROOT = 'javascript'
const MIB = 1 << 20
let base
let failed = 0

const check = async (name, run) => {
  try {
    await run()
    console.log(`ok    javascript_sdk: ${name}`)
  } catch (error) {
    failed += 1
    console.log(`FAIL  javascript_sdk: ${name}\n      ${error?.stack ?? error}\n      ${JSON.stringify(error)}`)
  }
}

const admin = async (method, route, body) => {
  const answer = await fetch(`${base}/admin/${route}`, { method, body: body && JSON.stringify(body) })
  return answer.json()
}
const stored = async name => (await admin('GET', 'files'))[`${ROOT}/${name}`]
const md5 = data => crypto.createHash('md5').update(data).digest('hex')
const noise = (seed, length) => crypto.createCipheriv('aes-128-ctr', Buffer.alloc(16, seed), Buffer.alloc(16))
  .update(Buffer.alloc(length))
const find = name => File.find(`${ROOT}/${name}`)
const upload = (name, data, params = {}) =>
  File.uploadStream(`${ROOT}/${name}`, Readable.from(data, { objectMode: false }), params)
const read = async name => {
  const target = path.join(WORK, 'javascript-read')
  await (await (await find(name)).download()).downloadToFile(target)
  return fs.readFileSync(target)
}
const refused = async (action, type) => {
  await assert.rejects(action, error => {
    const found = `${error?.constructor?.name} ${JSON.stringify(error)} ${error?.message}`
    assert.ok(found.toLowerCase().includes(type), `${type} is not in ${found}`)
    return true
  })
}

const start = async () => {
  let storage
  const front = await lendTls(WORK, () => storage)
  const emulator = spawn(EMULATOR_PROGRAM, [
    '--storage-url', front, '--api-key', EMULATOR_KEY,
    '--api-key', `${EMULATOR_READ_ONLY_KEY},permissions=lr`, '--user', `${EMULATOR_USER}:${EMULATOR_PASSWORD}`,
  ], { stdio: ['ignore', 'pipe', 'inherit'] })
  process.on('exit', () => emulator.kill())
  base = (await new Promise(resolve => { emulator.stdout.once('data', resolve) })).toString().trim()
  storage = (await admin('GET', 'settings')).storage_listen
}

const main = async () => {
  await start()
  Files.setBaseUrl(base)
  Files.setLogLevel(LogLevel.NONE ?? LogLevel.FATAL ?? 0)
  Files.configureNetwork({ maxNetworkRetries: 1, minNetworkRetryDelay: 0.05 })
  Files.setApiKey(EMULATOR_KEY)

  await check('creates folders, one by one and with their parents', async () => {
    assert.equal((await Folder.create(ROOT)).type, 'directory')
    await Folder.create(`${ROOT}/a/b`, { mkdir_parents: true })
    assert.equal((await find('a/b')).path, `${ROOT}/a/b`)
    await refused(() => Folder.create(ROOT), 'destinationexists')
  })
  await check('logs in by user name and password, and out again', async () => {
    const session = await Session.create({ username: EMULATOR_USER, password: EMULATOR_PASSWORD })
    Files.setSessionId(session.id)
    assert.equal((await File.find(ROOT)).type, 'directory')
    await Session.delete()
    await refused(() => File.find(ROOT), 'invalidcredentials')
    Files.setSessionId(null)
    await refused(() => Session.create({ username: EMULATOR_USER, password: 'wrong' }), 'invalidusernameorpassword')
  })
  await check('a bad key is refused', async () => {
    await refused(() => File.find(ROOT, {}, { apiKey: 'wr0ngKey' }), 'invalidcredentials')
  })
  await check('uploads a small file and downloads it, as file, text and stream', async () => {
    await File.uploadData(`${ROOT}/small`, 'zwölf Boxkämpfer')
    assert.equal((await read('small')).toString(), 'zwölf Boxkämpfer')
    const file = await (await find('small')).download()
    assert.equal(await file.downloadToString(), 'zwölf Boxkämpfer')
    const target = fs.createWriteStream(path.join(WORK, 'javascript-stream'))
    await file.downloadToStream(target)
    assert.equal(fs.readFileSync(path.join(WORK, 'javascript-stream'), 'utf8'), 'zwölf Boxkämpfer')
  })
  await check('uploads several parts', async () => {
    const data = noise(1, 12 * MIB)
    fs.writeFileSync(path.join(WORK, 'javascript-large'), data)
    await admin('DELETE', 'requests')
    await File.uploadFile(`${ROOT}/large`, path.join(WORK, 'javascript-large'))
    const parts = (await admin('GET', 'requests')).filter(request => request.kind === 'part')
    assert.ok(parts.length > 1, `${parts.length} parts`)
    assert.equal((await stored('large')).md5, md5(data))
    assert.equal(md5(await read('large')), md5(data))
  })
  await check('downloads ranges of the URL that it is given', async () => {
    const file = await (await find('large')).download()
    const answer = await fetch(file.getDownloadUri?.() ?? file.download_uri, { headers: { range: 'bytes=100-199' } })
    assert.equal(answer.status, 206)
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), noise(1, 200).subarray(100))
  })
  await check('overwrites', async () => {
    await File.uploadData(`${ROOT}/small`, 'replaced')
    assert.equal((await read('small')).toString(), 'replaced')
  })
  await check('uploads an empty file', async () => {
    await File.uploadData(`${ROOT}/empty`, Buffer.alloc(0))
    assert.equal((await stored('empty'))?.size, 0)
  })
  await check('stats, and sets times', async () => {
    const large = await find('large')
    assert.deepEqual([large.type, large.size, large.display_name], ['file', 12 * MIB, 'large'])
    const folder = await find('a')
    assert.deepEqual([folder.type, folder.size ?? null], ['directory', null])
    await large.update({ provided_mtime: '2010-11-17T20:34:58Z' })
    await folder.update({ provided_mtime: '2010-11-17T20:34:58Z' })
    for (const name of ['large', 'a']) {
      assert.equal(new Date((await find(name)).provided_mtime).getTime(), Date.UTC(2010, 10, 17, 20, 34, 58))
    }
  })
  await check('lists more than one page', async () => {
    await admin('POST', 'settings', { per_page: 7, per_page_max: 7 })
    for (let n = 0; n < 30; n += 1) await admin('PUT', `files/${ROOT}/many/${n}`)
    assert.equal((await Folder.listFor(`${ROOT}/many`)).length, 30)
    assert.equal((await Folder.listFor(`${ROOT}/many`, {}, { autoPaginate: false })).length, 7)
    await admin('POST', 'settings', { per_page: 1000, per_page_max: 10000 })
  })
  await check('copies and moves', async () => {
    await (await find('small')).copyTo(`${ROOT}/copied`)
    await (await find('copied')).moveTo(`${ROOT}/moved`)
    assert.equal((await read('moved')).toString(), 'replaced')
    await refused(() => find('copied'), 'notfound')
    await refused(async () => (await find('small')).move({ destination: `${ROOT}/moved` }), 'destinationexists')
  })
  await check('copies and moves as migrations, folders too', async () => {
    await admin('POST', 'settings', { migration_delay_ms: 200 })
    // The SDK does not wait for their end by itself.
    const arrived = async name => {
      const count = async () =>
        Object.keys(await admin('GET', 'files')).filter(path => path.startsWith(`${ROOT}/${name}/`)).length
      const until = Date.now() + 10000
      while (await count() < 30 && Date.now() < until) await new Promise(resolve => { setTimeout(resolve, 50) })
      assert.equal(await count(), 30)
    }
    await (await find('many')).copyTo(`${ROOT}/many copied`)
    await arrived('many copied')
    await (await find('many copied')).moveTo(`${ROOT}/many moved`)
    await arrived('many moved')
    await admin('POST', 'settings', { migration_delay_ms: 0 })
    await refused(() => find('many copied'), 'notfound')
  })
  await check('a missing path is not found', async () => {
    await refused(() => find('missing'), 'notfound')
    await refused(() => Folder.listFor(`${ROOT}/missing`), 'notfound')
  })
  await check('deletes a file and an empty folder, and no full one', async () => {
    await (await find('moved')).delete()
    await refused(() => find('moved'), 'notfound')
    await refused(async () => (await find('a')).delete(), 'foldernotempty')
    await (await find('a/b')).delete()
    await (await find('a')).delete()
    await refused(() => find('a'), 'notfound')
  })
  await check('deletes a full folder when told to', async () => {
    await (await find('many')).delete({ recursive: true })
    await refused(() => find('many'), 'notfound')
  })
  await check('a read-only key reads and changes nothing', async () => {
    Files.setApiKey(EMULATOR_READ_ONLY_KEY)
    assert.equal((await read('small')).toString(), 'replaced')
    await refused(() => File.uploadData(`${ROOT}/new`, 'x'), 'writepermissionrequired')
    await refused(() => Folder.create(`${ROOT}/new`), 'writepermissionrequired')
    await refused(async () => (await find('small')).delete(), 'fullpermissionrequired')
  })
  console.log('end   javascript_sdk')
  process.exit(failed ? 1 : 0)
}

main().catch(error => {
  console.log(error)
  process.exit(1)
})
