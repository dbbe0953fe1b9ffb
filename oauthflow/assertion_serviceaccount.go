package oauthflow

import (
	"errors"
	"strings"

	"tributary/internal/secret"
)

// ServiceAccount is what is used of the key file of a Google service account. Its token_uri is not: assertions go to
// the profile's endpoint.
type ServiceAccount struct {
	Email      string
	ClientID   string // what an administrator enters for domain-wide delegation
	KeyID      string
	PrivateKey secret.Text
}

// ParseServiceAccount reads the key file. Its errors name a field and quote nothing.
func ParseServiceAccount(file secret.Text) (ServiceAccount, error) {
	raw := []byte(file.Reveal())
	if len(raw) > maxProfile {
		return ServiceAccount{}, errors.New("service account: the file is larger than 64 KiB; paste the key file that Google gave out")
	}
	fields, err := decodeObject(raw)
	if err != nil {
		return ServiceAccount{}, errors.New("service account: the file is not well-formed JSON; paste the whole key file")
	}
	if kind, _ := fields["type"].(string); kind != "service_account" {
		return ServiceAccount{}, errors.New(`service account: type is not "service_account"; create a key of type JSON for a service account`)
	}
	text := func(name string) string {
		s, _ := fields[name].(string)
		if name != "private_key" && cleanASCII(s, maxText) != s {
			return ""
		}
		return s
	}
	sa := ServiceAccount{Email: text("client_email"), ClientID: text("client_id"), KeyID: text("private_key_id"), PrivateKey: secret.New(text("private_key"))}
	for name, ok := range map[string]bool{
		"client_email": strings.Count(sa.Email, "@") == 1, "client_id": sa.ClientID != "", "private_key_id": sa.KeyID != "", "private_key": sa.PrivateKey.IsSet(),
	} {
		if !ok {
			return ServiceAccount{}, errors.New("service account: " + name + " is missing or not usable; paste the whole key file")
		}
	}
	if _, err := parsePrivateKey(sa.PrivateKey, sa.KeyID); err != nil {
		return ServiceAccount{}, errors.New("service account: " + err.Error())
	}
	return sa, nil
}
