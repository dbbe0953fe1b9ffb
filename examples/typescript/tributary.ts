// A client of Tributary with what Node has itself: fetch and crypto. Meant to be copied.
import { createPrivateKey, randomUUID, sign, type KeyObject } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

/** What is asked; docs/search.md and /openapi.json have the other fields. */
export interface Question {
  query: string
  k?: number
  mode?: 'hybrid' | 'vector' | 'keyword'
  filters?: Record<string, unknown>
}

/** A chunk with what a citation needs. */
export interface Result {
  chunk_id: string
  document_id: string
  revision: number
  connection: string
  text: string
  title: string
  heading_path: string[]
  url: string
  start_cp: number
  end_cp: number
  score: number
}

export interface Answer {
  results: Result[]
  complete: boolean
  permissions_as_of: Record<string, string>
  next_cursor: string | null
  /** Why there are no results. */
  hint?: string
}

interface ProblemBody {
  code?: string
  detail?: string
  field?: string
  request_id?: string
}

/** An answer that is no success (RFC 9457). 401 and 403 mean that the key does not count, or may not ask for that reader. */
export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly field: string | undefined
  readonly requestId: string | undefined

  constructor(status: number, body: ProblemBody) {
    super(`${status} ${body.code ?? 'unknown'}: ${body.detail ?? ''} (request ${body.request_id})`)
    this.name = 'Problem'
    this.status = status
    this.code = body.code ?? 'unknown'
    this.field = body.field
    this.requestId = body.request_id
  }
}

/** Names a reader by assertions, for a key of mode assertion. */
export class Signer {
  private readonly key: KeyObject

  /**
   * @param reader the id of a reader; with issuer, the subject of one of its identities
   * @param pem the private key of an Ed25519 key pair
   * @param keyId the kid under which the public key is registered
   */
  constructor(private readonly reader: string, pem: string, private readonly keyId: string, private readonly issuer?: string) {
    this.key = createPrivateKey(pem)
    if (this.key.asymmetricKeyType !== 'ed25519') throw new Error('reading the signing key: it is not of Ed25519')
  }

  /** Returns a JWT for one request within a minute. */
  assertion(audience: string): string {
    const now = Math.floor(Date.now() / 1000)
    const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url')
    const claims = { sub: this.reader, iss: this.issuer, aud: audience, jti: randomUUID(), iat: now, exp: now + 60 }
    const signed = `${encode({ alg: 'EdDSA', typ: 'JWT', kid: this.keyId })}.${encode(claims)}`
    return `${signed}.${sign(null, Buffer.from(signed), this.key).toString('base64url')}`
  }
}

export interface Options {
  /** The public address of the instance. */
  url: string
  /** An API key. */
  key: string
  /** Names the reader with each request; leave it out for a key of mode bound. */
  signer?: Signer
  /** How often a question is sent that is answered with 429 or 503. */
  tries?: number
  /** Is told before each further try. */
  waiting?: (problem: Problem, seconds: number) => void
}

export class Client {
  constructor(private readonly options: Options) {}

  /** Asks a question. While the server asks to wait (429, 503) it is sent again. */
  async search(question: Question, signal?: AbortSignal): Promise<Answer> {
    const { url, key, signer, tries = 5, waiting } = this.options
    for (let attempt = 1; ; attempt++) {
      const headers: Record<string, string> = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' }
      // An assertion counts once, so that each try signs another.
      if (signer) headers['Tributary-Reader'] = signer.assertion(url)
      const limit = AbortSignal.timeout(30_000)
      const response = await fetch(`${url}/v1/search`, {
        method: 'POST', headers, body: JSON.stringify(question), signal: signal ? AbortSignal.any([signal, limit]) : limit,
      })
      if (response.ok) return (await response.json()) as Answer
      const problem = new Problem(response.status, (await response.json().catch(() => ({}))) as ProblemBody)
      if (![429, 503].includes(response.status) || attempt >= tries) throw problem
      const seconds = Number(response.headers.get('Retry-After')) || 5
      waiting?.(problem, seconds)
      await sleep(seconds * 1000, undefined, { signal })
    }
  }
}
