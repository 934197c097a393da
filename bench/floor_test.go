package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// floorOrder is what the floor process is told.
type floorOrder struct {
	Redis, DingTalk, Secret string
}

// floor is the least Go that does one click: one vendor POST, one SETNX, one
// HGET, a signature, one XADD, a redirect. It checks nothing: no state, no
// cookie, no seal, no page, no chain in the audit log.
type floor struct {
	redis *redis.Client
	http  *http.Client
	ask   string // address of getuserinfo with its token
}

const (
	floorTable = "floor:people"
	floorAudit = "floor:audit"
)

func playFloor(ctx context.Context, text string) error {
	var order floorOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		return err
	}
	f := &floor{
		redis: redis.NewClient(&redis.Options{Addr: order.Redis, PoolSize: 256}),
		http:  &http.Client{Transport: &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256}},
	}
	defer f.redis.Close()
	if err := f.prepare(ctx, order); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { away(w, "https://kingdee.example/") })
	mux.HandleFunc("/click", f.serve(f.exchange, f.mint))
	mux.HandleFunc("/exchange", f.serve(f.exchange))
	mux.HandleFunc("/launch", f.serve(f.mint))
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	fmt.Println("ready", listener.Addr())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (f *floor) prepare(ctx context.Context, order floorOrder) error {
	query := url.Values{"appkey": {appKey}, "appsecret": {order.Secret}}.Encode()
	res, err := f.http.Get("http://" + order.DingTalk + "/gettoken?" + query)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var token struct {
		Value string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&token); err != nil || token.Value == "" {
		return fmt.Errorf("no token: %w", err)
	}
	f.ask = "http://" + order.DingTalk + "/topapi/v2/user/getuserinfo?access_token=" + url.QueryEscape(token.Value)
	rows := make([]string, 0, 2*people)
	for i := range people {
		rows = append(rows, userid(i), "user"+userid(i))
	}
	return f.redis.HSet(ctx, floorTable, rows).Err()
}

// serve runs steps one after the other and redirects to where the last one says.
func (f *floor) serve(steps ...func(r *http.Request) (string, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		to := ""
		for _, step := range steps {
			var err error
			if to, err = step(r); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			r.URL.RawQuery = "user=" + to
		}
		away(w, to)
	}
}

func away(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusFound)
}

// exchange is the vendor POST and the SETNX.
func (f *floor) exchange(r *http.Request) (string, error) {
	body, err := json.Marshal(map[string]string{"code": r.URL.Query().Get("code")})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, f.ask, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := f.http.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var out struct {
		Result struct {
			UserID string `json:"userid"`
		} `json:"result"`
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil || out.Result.UserID == "" {
		return "", fmt.Errorf("no userid: %w", err)
	}
	return out.Result.UserID, f.redis.SetNX(r.Context(), "floor:state:"+rand.Text(), out.Result.UserID, time.Minute).Err()
}

// mint is the HGET, the signature and the XADD.
func (f *floor) mint(r *http.Request) (string, error) {
	who := r.URL.Query().Get("user")
	user, err := f.redis.HGet(r.Context(), floorTable, who).Result()
	if err != nil {
		return "", err
	}
	now := fmt.Sprint(time.Now().Unix())
	sum := sha256.Sum256([]byte(strings.Join([]string{dbID, user, appID, "secret", now}, "")))
	payload, err := json.Marshal(map[string]string{
		"dbid": dbID, "username": user, "appid": appID, "signeddata": hex.EncodeToString(sum[:]), "timestamp": now,
	})
	if err != nil {
		return "", err
	}
	err = f.redis.XAdd(r.Context(), &redis.XAddArgs{
		Stream: floorAudit, MaxLen: 100_000, Approx: true, Values: []string{"who", who, "action", "mint"},
	}).Err()
	return "https://kingdee.example/?ud=" + base64.StdEncoding.EncodeToString(payload), err
}
