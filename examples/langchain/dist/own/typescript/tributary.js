// A client of Tributary with what Node has itself: fetch and crypto. Meant to be copied.
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
/** An answer that is no success (RFC 9457). 401 and 403 mean that the key does not count, or may not ask for that reader. */
export class Problem extends Error {
    status;
    code;
    field;
    requestId;
    constructor(status, body) {
        super(`${status} ${body.code ?? 'unknown'}: ${body.detail ?? ''} (request ${body.request_id})`);
        this.name = 'Problem';
        this.status = status;
        this.code = body.code ?? 'unknown';
        this.field = body.field;
        this.requestId = body.request_id;
    }
}
/** Names a reader by assertions, for a key of mode assertion. */
export class Signer {
    reader;
    keyId;
    issuer;
    key;
    /**
     * @param reader the id of a reader; with issuer, the subject of one of its identities
     * @param pem the private key of an Ed25519 key pair
     * @param keyId the kid under which the public key is registered
     */
    constructor(reader, pem, keyId, issuer) {
        this.reader = reader;
        this.keyId = keyId;
        this.issuer = issuer;
        this.key = createPrivateKey(pem);
        if (this.key.asymmetricKeyType !== 'ed25519')
            throw new Error('reading the signing key: it is not of Ed25519');
    }
    /** Returns a JWT for one request within a minute. */
    assertion(audience) {
        const now = Math.floor(Date.now() / 1000);
        const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
        const claims = { sub: this.reader, iss: this.issuer, aud: audience, jti: randomUUID(), iat: now, exp: now + 60 };
        const signed = `${encode({ alg: 'EdDSA', typ: 'JWT', kid: this.keyId })}.${encode(claims)}`;
        return `${signed}.${sign(null, Buffer.from(signed), this.key).toString('base64url')}`;
    }
}
export class Client {
    options;
    constructor(options) {
        this.options = options;
    }
    /** Asks a question. While the server asks to wait (429, 503) it is sent again. */
    async search(question, signal) {
        const { url, key, signer, tries = 5, waiting } = this.options;
        for (let attempt = 1;; attempt++) {
            const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
            // An assertion counts once, so that each try signs another.
            if (signer)
                headers['Tributary-Reader'] = signer.assertion(url);
            const limit = AbortSignal.timeout(30_000);
            const response = await fetch(`${url}/v1/search`, {
                method: 'POST', headers, body: JSON.stringify(question), signal: signal ? AbortSignal.any([signal, limit]) : limit,
            });
            if (response.ok)
                return (await response.json());
            const problem = new Problem(response.status, (await response.json().catch(() => ({}))));
            if (![429, 503].includes(response.status) || attempt >= tries)
                throw problem;
            const seconds = Number(response.headers.get('Retry-After')) || 5;
            waiting?.(problem, seconds);
            await sleep(seconds * 1000, undefined, { signal });
        }
    }
}
