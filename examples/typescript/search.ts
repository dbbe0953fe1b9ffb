// Asks Tributary a question and prints what it finds with citations.
// Usage: KEY=trib_... [URL=http://127.0.0.1:8080] [READER=id SIGNING_KEY=portal.key KEY_ID=kid] npm start -- QUESTION
import { readFileSync } from 'node:fs'

import { Client, Problem, Signer, type Answer } from './tributary.js'

const { KEY, URL = 'http://127.0.0.1:8080', READER, SIGNING_KEY = '', KEY_ID = '' } = process.env

async function main(): Promise<number> {
  const question = process.argv[2]
  if (!KEY || !question) {
    console.error('set KEY to the secret that tributary keys create printed, and give one question')
    return 1
  }
  const signer = READER ? new Signer(READER, readFileSync(SIGNING_KEY, 'utf8'), KEY_ID) : undefined
  const client = new Client({ url: URL, key: KEY, signer, waiting: (p, s) => console.error(`busy (${p.code}): trying again in ${s} s`) })
  try {
    print(await client.search({ query: question, k: 5 }))
    return 0
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    console.error(error.message)
    return error.status === 401 || error.status === 403 ? 3 : 1
  }
}

function print(answer: Answer): void {
  answer.results.forEach((r, i) => {
    console.log(`${i + 1}. ${[r.title, ...r.heading_path].join(' › ')}`)
    console.log(`   ${r.text.replaceAll('\n', '\n   ')}`)
    console.log(`   [${r.connection}, revision ${r.revision}, characters ${r.start_cp}–${r.end_cp}, chunk ${r.chunk_id}] ${r.url}`)
  })
  if (answer.hint) console.log(`nothing found: ${answer.hint}`)
  if (!answer.complete) console.log('this answer may lack something')
  for (const [connection, at] of Object.entries(answer.permissions_as_of)) console.log(`permissions of ${connection} as of ${at}`)
}

process.exitCode = await main()
