package dingtalksim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// frameVector is one example of the reference. The clients read the same file:
// both sides are held to the vendor's word and not to each other.
type frameVector struct {
	ID, Kind string
	Input    struct {
		Token     string
		AESKey    string `json:"aes_key"`
		Owner     string `json:"owner_key"`
		Signature string
		Timestamp string
		Nonce     string
		Encrypt   string
		Random    string
		RandomHex string `json:"random_hex"`
		Plaintext string
		Repeat    struct {
			Unit  string
			Count int
		} `json:"plaintext_repeat"`
		Ticket string `json:"jsapi_ticket"`
		Page   string `json:"page_url"`
		Secret string
	}
	Expect struct {
		Plaintext     string
		Random        string
		Pad           int
		Encrypt       string
		EncryptSHA256 string `json:"encrypt_sha256"`
		Signature     string
		Body          json.RawMessage
		VendorCode    int `json:"vendor_code"`
		SHA256, SHA1  string
		Sign          string `json:"sign_param"`
	}
}

func (v frameVector) keys(t *testing.T) keys {
	t.Helper()
	token := v.Input.Token
	if token == "" {
		token = "unused"
	}
	k, err := newKeys(token, v.Input.AESKey, v.Input.Owner)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestFrameVectors holds the simulator's own hand at frames, signatures, pages
// and robots to every vector of the reference.
func TestFrameVectors(t *testing.T) {
	raw, err := os.ReadFile("../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []frameVector }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Vectors {
		t.Run(v.ID, func(t *testing.T) {
			run := map[string]func(*testing.T, frameVector){
				"callback_signature": signatureVector, "callback_decrypt": openVector, "callback_encrypt": sealVector,
				"callback_reply": replyVector, "callback_reject": rejectVector, "jsapi_sign": pageVector, "robot_sign": robotVector,
			}[v.Kind]
			if run == nil {
				t.Fatalf("no test for kind %q", v.Kind)
			}
			run(t, v)
		})
	}
}

func signatureVector(t *testing.T, v frameVector) {
	if got := (keys{token: v.Input.Token}).sign(v.Input.Timestamp, v.Input.Nonce, v.Input.Encrypt); got != v.Expect.Signature {
		t.Errorf("got %s", got)
	}
}

func openVector(t *testing.T, v frameVector) {
	k := v.keys(t)
	if got := k.sign(v.Input.Timestamp, v.Input.Nonce, v.Input.Encrypt); got != v.Input.Signature {
		t.Errorf("signature %s", got)
	}
	if got, err := k.unseal(v.Input.Encrypt); err != nil || got != v.Expect.Plaintext {
		t.Errorf("%q %v", got, err)
	}
	padTo := 32
	if v.ID == "dec-01" { // the vendor's sample that pads to the cipher's block
		padTo = 16
	}
	if got := k.seal([]byte(v.Expect.Random), []byte(v.Expect.Plaintext), padTo); got != v.Input.Encrypt {
		t.Errorf("sealed again: %s", got)
	}
}

func sealVector(t *testing.T, v frameVector) {
	message, random := v.Input.Plaintext, []byte(v.Input.Random)
	if v.Input.Repeat.Count > 0 {
		message = strings.Repeat(v.Input.Repeat.Unit, v.Input.Repeat.Count)
	}
	if v.Input.RandomHex != "" {
		var err error
		if random, err = hex.DecodeString(v.Input.RandomHex); err != nil {
			t.Fatal(err)
		}
	}
	k := v.keys(t)
	got := k.seal(random, []byte(message), 32)
	sum := sha256.Sum256([]byte(got))
	if v.Expect.Encrypt+v.Expect.EncryptSHA256 == "" || v.Expect.Encrypt != "" && got != v.Expect.Encrypt ||
		v.Expect.EncryptSHA256 != "" && hex.EncodeToString(sum[:]) != v.Expect.EncryptSHA256 {
		t.Errorf("sealed: %.80s", got)
	}
	if v.Expect.Signature != "" && k.sign(v.Input.Timestamp, v.Input.Nonce, got) != v.Expect.Signature {
		t.Error("the signature differs")
	}
}

func replyVector(t *testing.T, v frameVector) {
	if err := v.keys(t).checkReply(200, v.Expect.Body); err != nil {
		t.Error(err)
	}
	var body map[string]any
	if err := json.Unmarshal(v.Expect.Body, &body); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"msg_signature", "timeStamp", "nonce", "encrypt"} {
		if err := v.keys(t).checkReply(200, []byte(strings.Replace(string(v.Expect.Body), `"`+name+`"`, `"x"`, 1))); err == nil {
			t.Errorf("taken without %s", name)
		}
	}
	small := strings.Replace(string(v.Expect.Body), `"timeStamp"`, `"timestamp"`, 1)
	if err := v.keys(t).checkReply(200, []byte(small)); err == nil { // the capital S is the vendor's
		t.Error("taken with timestamp")
	}
}

// rejectVector refuses as a reply what the vendor's class refuses as an event.
func rejectVector(t *testing.T, v frameVector) {
	k, err := newKeys(v.Input.Token, v.Input.AESKey, v.Input.Owner)
	if err != nil {
		if v.Expect.VendorCode != 900004 {
			t.Error(err)
		}
		return
	}
	err = k.checkReply(200, encode(map[string]string{
		"msg_signature": v.Input.Signature, "timeStamp": v.Input.Timestamp, "nonce": v.Input.Nonce, "encrypt": v.Input.Encrypt,
	}))
	want := map[int]error{900005: errSignature, 900010: errOwner, 900008: errDecrypt, 900009: errDecrypt}[v.Expect.VendorCode]
	if want == nil || !errors.Is(err, want) {
		t.Errorf("%v, want %d", err, v.Expect.VendorCode)
	}
}

// pageVector has the simulated client judge the signature over the vector's ticket.
func pageVector(t *testing.T, v frameVector) {
	s, _ := gatewaySim(t, nil)
	now := s.clock.now()
	s.tickets.m = map[string]*ticket{testApp: {value: v.Input.Ticket, created: now, expires: now.Add(time.Hour)}}
	for _, signature := range []string{v.Expect.SHA256, v.Expect.SHA1} {
		q := url.Values{
			"corpId": {testCorp}, "agentId": {"100001"}, "timeStamp": {v.Input.Timestamp}, "nonceStr": {v.Input.Nonce},
			"page": {v.Input.Page}, "signature": {signature},
		}
		if bad := s.checkConfig(q); bad != nil {
			t.Errorf("%+v", bad)
		}
		q.Set("nonceStr", v.Input.Nonce+"x")
		if bad := s.checkConfig(q); bad == nil || bad.ErrorCode != 52013 {
			t.Errorf("another nonce: %+v", bad)
		}
	}
}

func robotVector(t *testing.T, v frameVector) {
	ms, err := strconv.ParseInt(v.Input.Timestamp, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	at := time.UnixMilli(ms)
	send := func(query string) string {
		c := &call{r: httptest.NewRequest("POST", "/robot/send?"+query, nil), started: at}
		return c.signedFor(&robot{Robot: Robot{Secret: v.Input.Secret}})
	}
	if why := send("timestamp=" + v.Input.Timestamp + "&sign=" + v.Expect.Sign); why != "" {
		t.Error(why)
	}
	if why := send("timestamp=" + strconv.FormatInt(ms+1, 10) + "&sign=" + v.Expect.Sign); why != "sign not match" {
		t.Errorf("another time: %q", why)
	}
}
