package gitea

import (
	"testing"

	"tributary/connectors/connectortest"
	"tributary/connectors/connectortest/contract"
)

// described is the official description of the API, and the calls that it does not have.
func described(t *testing.T) *contract.Checker {
	c := contract.Load(t, contract.File{Name: "gitea.openapi.json", Prefix: apiPrefix})
	c.Undescribed("GET", "/repositories/{id}", "a repository by its id, because its name may have changed since")
	c.Undescribed("GET", "/repos/{owner}/{repo}/pulls/{index}/reviews/{id}/comments", "the comments to lines of one review")
	c.Differs("*", "null /**", "the server writes null for what is absent, such as an issue's milestone; its description knows no null")
	return c
}

// TestContract plays the whole kit with every request and answer held to the official description.
func TestContract(t *testing.T) {
	c := described(t)
	c.Exhaustive()
	connectortest.Run(t, harness(c.Handler))
}
