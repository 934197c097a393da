package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	stdjson "encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"kdgate/store"
)

// The floor of a directory run: the least Go that reads the same pages, compares
// each person with a stored fingerprint and writes those that differ. It keeps
// fingerprints in buckets, asks nobody who has left, and believes everything.
const (
	floorWorkers = 2
	floorBuckets = 256
	floorBatch   = 100
	printSize    = 16
)

type floorPerson struct {
	UserID    string `json:"userid"`
	UnionID   string `json:"unionid"`
	Name      string `json:"name"`
	Mobile    string `json:"mobile"`
	Email     string `json:"org_email"`
	Title     string `json:"title"`
	JobNumber string `json:"job_number"`
	Extension string `json:"extension"`
	HiredDate int64  `json:"hired_date"`
}

type floorPage struct {
	Result struct {
		More bool          `json:"has_more"`
		List []floorPerson `json:"list"`
	} `json:"result"`
}

func (p *floorPerson) print() (sum [printSize]byte) {
	var text []byte
	for _, field := range []string{p.UserID, p.UnionID, p.Name, p.Mobile, p.Email, p.Title, p.JobNumber, p.Extension, strconv.FormatInt(p.HiredDate, 10)} {
		text = binary.AppendUvarint(text, uint64(len(field)))
		text = append(text, field...)
	}
	whole := sha256.Sum256(text)
	copy(sum[:], whole[:])
	return sum
}

// townFloor is the floor at work.
type townFloor struct {
	order  directoryOrder
	client *http.Client
	store  *store.Sealed

	mu      sync.Mutex
	prints  map[string][printSize]byte
	changed []floorPerson
	bytes   int64
}

func playDirectoryFloor(ctx context.Context, text string) error {
	f := &townFloor{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: floorWorkers}}, prints: map[string][printSize]byte{}}
	if err := json.Unmarshal([]byte(text), &f.order); err != nil {
		return err
	}
	var closeStore func() error
	var err error
	if f.store, closeStore, err = openBenchStore(ctx, f.order.Dir); err != nil {
		return err
	}
	began := time.Now()
	for _, step := range []func(context.Context) error{f.load, f.read, f.write, f.keep} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	took := time.Since(began)
	if err := closeStore(); err != nil {
		return err
	}
	return sayOutcome(directoryOutcome{Took: took, Bytes: f.bytes, Written: len(f.changed)})
}

func bucketKey(n int) string { return fmt.Sprintf("print/%03d", n) }

func bucketOf(userid string) int { return int(sha256.Sum256([]byte(userid))[0]) % floorBuckets }

// load reads the fingerprints: of each person the userid and 16 bytes.
func (f *townFloor) load(ctx context.Context) error {
	page, err := f.store.Scan(ctx, "print/", "", floorBuckets)
	for _, entry := range page {
		for rest := entry.Value; len(rest) > 0; {
			n := int(rest[0])
			f.prints[string(rest[1:1+n])] = [printSize]byte(rest[1+n : 1+n+printSize])
			rest = rest[1+n+printSize:]
		}
	}
	return err
}

func (f *townFloor) read(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(floorWorkers)
	for first := 0; first < f.order.People; first += townPages * townPage {
		group.Go(func() error { return f.department(ctx, townFirst+first/(townPages*townPage)) })
	}
	return group.Wait()
}

func (f *townFloor) department(ctx context.Context, id int) error {
	for cursor := 0; ; cursor += townPage {
		body, err := f.post(ctx, "/topapi/v2/user/list", fmt.Appendf(nil, `{"dept_id":%d,"cursor":%d,"size":%d}`, id, cursor, townPage))
		if err != nil {
			return err
		}
		var page floorPage
		if err := json.Unmarshal(body, &page); err != nil {
			return err
		}
		sums := make([][printSize]byte, len(page.Result.List))
		for i := range page.Result.List {
			sums[i] = page.Result.List[i].print()
		}
		f.mu.Lock()
		f.bytes += int64(len(body))
		for i, p := range page.Result.List {
			if f.prints[p.UserID] != sums[i] {
				f.prints[p.UserID] = sums[i]
				f.changed = append(f.changed, p)
			}
		}
		f.mu.Unlock()
		if !page.Result.More {
			return nil
		}
	}
}

func (f *townFloor) post(ctx context.Context, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.order.Town+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := f.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// write looks the changed up and saves them, in batches.
func (f *townFloor) write(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(floorWorkers)
	for batch := range slices.Chunk(f.changed, floorBatch) {
		group.Go(func() error {
			var numbers, models []string
			for _, p := range batch {
				numbers = append(numbers, strconv.Quote(p.UserID))
				models = append(models, fmt.Sprintf(`{"FNumber":%q,"FName":%q,"FMobile":%q}`, p.UserID, p.Name, p.Mobile))
			}
			const service = "/K3Floor/Kingdee.BOS.WebApi.ServicesStub.DynamicFormService."
			body, err := f.post(ctx, service+"ExecuteBillQuery.common.kdsvc", []byte("["+strings.Join(numbers, ",")+"]"))
			if err != nil {
				return err
			}
			var rows [][]any
			if err := stdjson.Unmarshal(body, &rows); err != nil {
				return err
			}
			_, err = f.post(ctx, service+"BatchSave.common.kdsvc", []byte("["+strings.Join(models, ",")+"]"))
			return err
		})
	}
	return group.Wait()
}

// keep writes the buckets that changed.
func (f *townFloor) keep(ctx context.Context) error {
	dirty := map[int]bool{}
	for _, p := range f.changed {
		dirty[bucketOf(p.UserID)] = true
	}
	buckets := map[int][]byte{}
	for userid, sum := range f.prints {
		if n := bucketOf(userid); dirty[n] {
			buckets[n] = append(append(append(buckets[n], byte(len(userid))), userid...), sum[:]...)
		}
	}
	var ops []store.Op
	for n, value := range buckets {
		ops = append(ops, store.Put(bucketKey(n), value))
	}
	for some := range slices.Chunk(ops, store.MaxOps) {
		if err := f.store.Commit(ctx, some...); err != nil {
			return err
		}
	}
	return nil
}

// peakMiB is the most memory that this process had, zero where there is no /proc.
func peakMiB() float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(value)[0], 64)
			return kib / 1024
		}
	}
	return 0
}
