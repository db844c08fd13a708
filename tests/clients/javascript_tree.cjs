// A tree of files by the official JavaScript SDK, for the suite of interoperation:
//   javascript_tree.cjs write LOCAL FOLDER TIMES   uploads the files of TIMES (JSON: path to Unix seconds)
//   javascript_tree.cjs read FOLDER                writes what is below to WORK/javascript-tree
//                                                  (JSON: path to [size, MD5, Unix seconds])
'use strict'

const crypto = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')

const Files = require('files.com/lib/Files').default
const File = require('files.com/lib/models/File').default
const Folder = require('files.com/lib/models/Folder').default
const { LogLevel } = require('files.com/lib/Logger')
const { lendTls } = require('./javascript_tls.cjs')

const { WORK, EMULATOR, EMULATOR_KEY } = process.env

const settings = async changes => {
  const answer = await fetch(`${EMULATOR}/admin/settings`, { method: 'POST', body: JSON.stringify(changes) })
  return answer.json()
}

const write = async (local, folder, times) => {
  for (const [name, seconds] of Object.entries(JSON.parse(times))) {
    const to = `${folder}/${name}`
    const from = path.join(local, name)
    // Its upload of files leaves out the part that a file of no bytes needs, too.
    if (fs.statSync(from).size > 0) await File.uploadFile(to, from, { mkdir_parents: true })
    else await File.uploadData(to, Buffer.alloc(0), { mkdir_parents: true })
    const file = await File.find(to)
    await file.update({ provided_mtime: new Date(seconds * 1000).toISOString() })
  }
}

const read = async (folder, prefix = '', found = {}) => {
  for (const entry of await Folder.listFor(folder)) {
    const name = `${prefix}${entry.display_name}`
    if (entry.type === 'directory') {
      await read(entry.path, `${name}/`, found)
      continue
    }
    const target = path.join(WORK, 'javascript-tree-file')
    await (await entry.download()).downloadToFile(target)
    const md5 = crypto.createHash('md5').update(fs.readFileSync(target)).digest('hex')
    found[name] = [entry.size, md5, Math.floor(new Date(entry.provided_mtime ?? entry.mtime).getTime() / 1000)]
  }
  return found
}

const main = async () => {
  const { storage_listen: storage } = await settings({})
  await settings({ storage_url: await lendTls(WORK, () => storage) })
  try {
    Files.setBaseUrl(EMULATOR)
    Files.setLogLevel(LogLevel.NONE ?? LogLevel.FATAL ?? 0)
    Files.setApiKey(EMULATOR_KEY)
    const [what, ...operands] = process.argv.slice(2)
    if (what === 'write') await write(...operands)
    if (what === 'read') fs.writeFileSync(path.join(WORK, 'javascript-tree'), JSON.stringify(await read(...operands)))
  } finally {
    await settings({ storage_url: null })
  }
  process.exit(0)
}

main().catch(error => {
  console.log(error?.stack ?? error, JSON.stringify(error))
  process.exit(1)
})
