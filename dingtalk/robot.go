package dingtalk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"time"

	"kdgate/identity"
)

// RobotSignature signs a message to a group robot (reference 8.2): the time in
// milliseconds and the signature, both ready for the query as "timestamp" and
// "sign". The vendor accepts a clock within one hour of its own.
func RobotSignature(secret identity.Secret, at time.Time) (timestamp, sign string) {
	timestamp = strconv.FormatInt(at.UnixMilli(), 10)
	mac := hmac.New(sha256.New, []byte(secret.Reveal()))
	mac.Write([]byte(timestamp + "\n" + secret.Reveal()))
	return timestamp, url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
