package kingdee

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kdgate/identity"
)

// clientSecretMask is the text with which the official SDKs hide the client
// secret inside the app id. It is public and hides nothing.
const clientSecretMask = "0054f397c6234378b09ca7d3e5debce7"

// clientOfAppID takes the client id and its secret out of an app id of the form
// NNNNNN_ plus 32 characters. The official SDKs disagree about other lengths,
// so those are refused (reference 2.5).
func clientOfAppID(appID string) (client string, secret identity.Secret, ok bool) {
	client, enc, found := strings.Cut(appID, "_")
	raw, err := base64.StdEncoding.DecodeString(enc)
	if !found || client == "" || err != nil || len(raw) != 24 {
		return "", identity.Secret{}, false
	}
	for i := range raw {
		raw[i] ^= clientSecretMask[i]
	}
	return client, identity.NewSecret(base64.StdEncoding.EncodeToString(raw)), true
}

// signHeaders adds the nine headers that stand in for a login. None of them is
// ever logged: X-Kd-Signature holds neither time nor path and works for ever.
func (c *Client) signHeaders(header http.Header, path string) {
	client, secret, ok := clientOfAppID(c.cfg.AppID)
	if !ok {
		return // New has refused such an app id
	}
	timestamp := headerTime(c.now(), c.cfg.API.HeaderTimestamp)
	nonce := newNonce()
	header.Set("X-Api-ClientID", client)
	header.Set("X-Api-Auth-Version", "2.0")
	header.Set("X-Api-Timestamp", timestamp)
	header.Set("X-Api-Nonce", nonce)
	header.Set("X-Api-Signheaders", "x-api-timestamp,x-api-nonce")
	header.Set("X-Api-Signature", hexMAC(secret, apiMessage(path, nonce, timestamp)))
	data := appData(c.cfg.DBID, c.cfg.IntegrationUser, strconv.Itoa(c.cfg.LCID), c.cfg.API.OrgNumber)
	header.Set("X-Kd-Appkey", c.cfg.AppID)
	header.Set("X-Kd-Appdata", base64.StdEncoding.EncodeToString([]byte(data)))
	header.Set("X-Kd-Signature", hexMAC(c.cfg.AppSecret, c.cfg.AppID+data))
}

// newNonce is 32 random hex digits, one of the two forms that official clients
// send; nobody has shown that the shared gateway takes a third.
func newNonce() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails, by its contract
	return hex.EncodeToString(raw[:])
}

func headerTime(now time.Time, unit string) string {
	if unit == "s" {
		return strconv.FormatInt(now.Unix(), 10)
	}
	return strconv.FormatInt(now.UnixMilli(), 10)
}

// apiMessage is what X-Api-Signature signs; the path is percent-encoded with its slashes.
func apiMessage(path, nonce, timestamp string) string {
	return "POST\n" + url.QueryEscape(path) + "\n\nx-api-nonce:" + nonce + "\nx-api-timestamp:" + timestamp + "\n"
}

func appData(dbid, user, lcid, org string) string {
	return strings.Join([]string{dbid, user, lcid, org}, ",")
}

// hexMAC is the SDKs' form: Base64 of the hex text of the MAC.
func hexMAC(key identity.Secret, message string) string {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(message))
	return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(mac.Sum(nil))))
}
