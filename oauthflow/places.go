package oauthflow

import (
	"encoding/hex"

	"tributary/internal/seal"
)

// VerifierPlace is the place that the verifier of a consent flow is sealed for (oauth_flow.verifier_ct).
func VerifierPlace(stateHash []byte) seal.Context {
	return seal.Context{Purpose: "flow", ID: hex.EncodeToString(stateHash), Field: "verifier"}
}
