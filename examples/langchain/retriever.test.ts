import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'

import { Problem } from '../typescript/tributary.js'
import { TributaryRetriever } from './retriever.js'

const result = {
  chunk_id: '3f2c0d4e-0000-4000-8000-000000000000:7', document_id: '3f2c0d4e-0000-4000-8000-000000000000', revision: 2, connection: 'docs', text: 'A backup is made every night.',
  title: 'Operations', heading_path: ['Backups'], url: 'https://docs.example/operations', start: 10, end: 39, start_cp: 10, end_cp: 39, score: 0.5,
}

/** Answers each request with the next of the given answers. */
async function serve(...answers: { status: number; headers?: Record<string, string>; body: unknown }[]): Promise<{ url: string; asked: IncomingMessage[] }> {
  const asked: IncomingMessage[] = []
  const server: Server = createServer((request, response) => {
    asked.push(request)
    const next = answers.shift()
    assert(next, 'one request more than expected')
    response.writeHead(next.status, { 'Content-Type': 'application/json', ...next.headers }).end(JSON.stringify(next.body))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  after(() => server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

test('documents carry what a citation needs', async () => {
  const { url, asked } = await serve({ status: 200, body: { results: [result], complete: true, permissions_as_of: {}, next_cursor: null } })
  const documents = await new TributaryRetriever({ url, key: 'trib_x' }).invoke('how are backups made')
  assert.equal(documents.length, 1)
  assert.equal(documents[0]?.id, result.chunk_id)
  assert.equal(documents[0]?.pageContent, result.text)
  assert.equal(documents[0]?.metadata.source, result.url)
  assert.deepEqual(documents[0]?.metadata.heading_path, ['Backups'])
  assert.equal(asked[0]?.headers.authorization, 'Bearer trib_x')
})

test('a refusal is thrown, and not an empty list', async () => {
  const { url } = await serve({ status: 403, body: { status: 403, code: 'reader_unknown', detail: 'there is no such reader', request_id: 'R' } })
  await assert.rejects(new TributaryRetriever({ url, key: 'trib_x' }).invoke('q'), (error: unknown) => error instanceof Problem && error.code === 'reader_unknown')
})

test('what the server asks to wait is waited', async () => {
  const { url, asked } = await serve(
    { status: 503, headers: { 'Retry-After': '1' }, body: { status: 503, code: 'overloaded', detail: 'busy' } },
    { status: 200, body: { results: [], complete: true, permissions_as_of: {}, next_cursor: null, hint: 'no_match' } },
  )
  const began = Date.now()
  const waits: number[] = []
  assert.deepEqual(await new TributaryRetriever({ url, key: 'trib_x', waiting: (_, s) => waits.push(s) }).invoke('q'), [])
  assert.equal(asked.length, 2)
  assert.deepEqual(waits, [1])
  assert(Date.now() - began >= 950)
})
