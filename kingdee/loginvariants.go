package kingdee

import (
	"crypto/cipher"
	"crypto/des" //nolint:gosec // the vendor's obfuscation, see desText
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// The other forms of a login that real servers take and the published vectors
// hold. kdgate sends none of them: they stand here, checked, so that a server
// which refuses the array form needs one changed line in loginCall and no guess.

// loginTextParameters is envelope (a′): the array as JSON text.
func loginTextParameters(parameters []string) []byte {
	inner, err := json.Marshal(parameters)
	if err != nil { // strings always marshal
		return nil
	}
	body, err := json.Marshal(struct {
		Parameters string `json:"parameters"`
	}{string(inner)})
	if err != nil {
		return nil
	}
	return body
}

// loginNamed is LoginBySign by names, with numbers where the manual's sample has
// them. The order is that of loginCall.
func loginNamed(p []string) []byte {
	body, err := json.Marshal(struct {
		AcctID    string      `json:"acctID"`
		Username  string      `json:"username"`
		AppID     string      `json:"appId"`
		Timestamp json.Number `json:"timestamp"`
		Sign      string      `json:"sign"`
		LCID      json.Number `json:"lcid"`
	}{p[0], p[1], p[2], json.Number(p[3]), p[4], json.Number(p[5])})
	if err != nil {
		return nil
	}
	return body
}

// desText is how ValidateUserEnDeCode wants user and password: DES-CBC, key and
// vector both "KingdeeK", PKCS7, Base64. The key is public: it hides nothing.
func desText(text string) (string, error) {
	const key = "KingdeeK"
	block, err := des.NewCipher([]byte(key)) //nolint:gosec // see above
	if err != nil {
		return "", fmt.Errorf("kingdee: des: %w", err)
	}
	padding := des.BlockSize - len(text)%des.BlockSize
	plain := []byte(text)
	for range padding {
		plain = append(plain, byte(padding))
	}
	cipher.NewCBCEncrypter(block, []byte(key)).CryptBlocks(plain, plain)
	return base64.StdEncoding.EncodeToString(plain), nil
}
