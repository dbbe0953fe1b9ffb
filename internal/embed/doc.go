// Package embed turns texts into vectors: through an endpoint of the OpenAI shape (OpenAI, Ollama, vLLM, Text Embeddings
// Inference), or with the built-in Hashing, which needs no model and is lexical: it finds words, not meanings.
//
// It owns batching, the checks of what an endpoint answers, and the classes of its errors. It stores nothing, retries
// nothing that was sent, and must not import a package of this module other than internal/chunk, whose
// estimate of tokens it uses, and internal/secret.
//
// Start reading at Profile (embed.go), then OpenAI.EmbedBatch (openai.go).
package embed
