import { Document } from '@langchain/core/documents';
import { BaseRetriever } from '@langchain/core/retrievers';
import { Client } from '../typescript/tributary.js';
/**
 * Returns what one reader may see: that of a bound key, or whom the signer names. Make one for each person who asks, and
 * never share one between people.
 *
 * A wrong key or reader is a Problem that is thrown, and no empty list: a chain must not answer as if there were nothing.
 */
export class TributaryRetriever extends BaseRetriever {
    static lc_name() {
        return 'TributaryRetriever';
    }
    lc_namespace = ['tributary', 'retrievers'];
    client;
    question;
    constructor({ url, key, signer, tries, waiting, k = 4, filters, ...rest }) {
        super(rest);
        this.client = new Client({ url, key, signer, tries, waiting });
        this.question = { k, filters };
    }
    async _getRelevantDocuments(query, _run) {
        const answer = await this.client.search({ query, ...this.question });
        return answer.results.map(({ chunk_id, text, url, title, heading_path, connection, document_id, revision, start_cp, end_cp, score }) => new Document({
            id: chunk_id, pageContent: text,
            metadata: { source: url, title, heading_path, connection, document_id, revision, start_cp, end_cp, score },
        }));
    }
}
