// A retriever of LangChain.js that asks Tributary. Meant to be copied, with ../typescript/tributary.ts.
import type { CallbackManagerForRetrieverRun } from '@langchain/core/callbacks/manager'
import { Document } from '@langchain/core/documents'
import { BaseRetriever, type BaseRetrieverInput } from '@langchain/core/retrievers'

import { Client, type Options, type Question } from '../typescript/tributary.js'

/** What a document of the retriever carries for citations. */
export interface Citation extends Record<string, unknown> {
  source: string
  title: string
  heading_path: string[]
  connection: string
  document_id: string
  revision: number
  start_cp: number
  end_cp: number
  score: number
}

export interface TributaryRetrieverInput extends BaseRetrieverInput, Options {
  k?: number
  filters?: Question['filters']
}

/**
 * Returns what one reader may see: that of a bound key, or whom the signer names. Make one for each person who asks, and
 * never share one between people.
 *
 * A wrong key or reader is a Problem that is thrown, and no empty list: a chain must not answer as if there were nothing.
 */
export class TributaryRetriever extends BaseRetriever<Citation> {
  static lc_name(): string {
    return 'TributaryRetriever'
  }

  lc_namespace = ['tributary', 'retrievers']
  private readonly client: Client
  private readonly question: Omit<Question, 'query'>

  constructor({ url, key, signer, tries, waiting, k = 4, filters, ...rest }: TributaryRetrieverInput) {
    super(rest)
    this.client = new Client({ url, key, signer, tries, waiting })
    this.question = { k, filters }
  }

  override async _getRelevantDocuments(query: string, _run?: CallbackManagerForRetrieverRun): Promise<Document<Citation>[]> {
    const answer = await this.client.search({ query, ...this.question })
    return answer.results.map(({ chunk_id, text, url, title, heading_path, connection, document_id, revision, start_cp, end_cp, score }) =>
      new Document<Citation>({
        id: chunk_id, pageContent: text,
        metadata: { source: url, title, heading_path, connection, document_id, revision, start_cp, end_cp, score },
      }))
  }
}
