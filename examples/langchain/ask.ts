// Builds the prompt of a question from what its reader may see, with numbered sources. Pipe the prompt into any chat model.
// Usage: KEY=trib_... [URL=http://127.0.0.1:8080] [READER=id SIGNING_KEY=portal.key KEY_ID=kid] npm start -- QUESTION
import { readFileSync } from 'node:fs'

import type { Document } from '@langchain/core/documents'
import { ChatPromptTemplate } from '@langchain/core/prompts'
import { RunnablePassthrough, RunnableSequence } from '@langchain/core/runnables'

import { Problem, Signer } from '../typescript/tributary.js'
import { TributaryRetriever, type Citation } from './retriever.js'

const { KEY, URL = 'http://127.0.0.1:8080', READER, SIGNING_KEY = '', KEY_ID = '' } = process.env

/** Numbers the sources, so that a model can cite them. */
function sources(documents: Document<Citation>[]): string {
  return documents.map(({ id, pageContent, metadata: m }, i) =>
    `[${i + 1}] ${[m.title, ...m.heading_path].join(' › ')} (${m.connection}, revision ${m.revision}, characters ${m.start_cp}–${m.end_cp}, chunk ${id}) ${m.source}\n${pageContent}`).join('\n\n')
}

async function main(): Promise<number> {
  const question = process.argv[2]
  if (!KEY || !question) {
    console.error('set KEY to the secret that tributary keys create printed, and give one question')
    return 1
  }
  const retriever = new TributaryRetriever({
    url: URL, key: KEY, signer: READER ? new Signer(READER, readFileSync(SIGNING_KEY, 'utf8'), KEY_ID) : undefined,
    waiting: (p, s) => console.error(`busy (${p.code}): trying again in ${s} s`),
  })
  const prompt = RunnableSequence.from([
    { sources: retriever.pipe(sources), question: new RunnablePassthrough<string>() },
    ChatPromptTemplate.fromMessages([
      ['system', 'Answer from these sources alone and cite them by number. Say so where they do not answer.\n\n{sources}'],
      ['human', '{question}'],
    ]),
  ])
  try {
    console.log((await prompt.invoke(question)).toString())
    return 0
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    console.error(error.message)
    return error.status === 401 || error.status === 403 ? 3 : 1
  }
}

process.exitCode = await main()
