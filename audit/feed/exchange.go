package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"kdgate/audit"
	"kdgate/store"
)

// Chain is a gateway's own log as the exchange needs it: *audit.Log.
type Chain interface {
	Pack(ctx context.Context, after uint64) (audit.Parcel, error)
	Held(ctx context.Context, replica string) (uint64, error)
	Unpack(ctx context.Context, p audit.Parcel) error
}

// ExchangeConfig makes an Exchange. All but Logger are required.
type ExchangeConfig struct {
	Store   store.Store
	Chain   Chain
	Replica string
	Logger  *slog.Logger
	// Renew makes an entry readable again that is older than what was seen, as
	// store.Sealed does; nil: nothing is renewed.
	Renew func(ctx context.Context, key string) error
}

// The exchange's keys. A parcel is named by its last record, so that a scan
// behind what is held begins with the parcel that holds the next one.
const (
	parcels = "audit/parcel/" // REPLICA/LAST: a parcel
	tips    = "audit/tip/"    // REPLICA: Seq of the newest record that was sent
	wants   = "audit/want/"   // WRITER/READER: Seq that the reader misses
)

const (
	parcelLife  = time.Hour        // a replica that was away longer asks
	wantLife    = 10 * time.Minute // a question of a replica that has gone is dropped
	answerSize  = 20               // parcels for one question, so that an answer never fills the store
	collectPage = 8                // parcels read at once
	exchangeLag = 5 * time.Second  // between two looks when no event came
)

// Exchange gives every replica every other's records, by way of the store. Each
// replica checks what it takes against its own key and the chain it holds.
type Exchange struct {
	config ExchangeConfig

	mu     sync.Mutex
	faults map[string]error // by what was tried
}

// NewExchange makes an exchange.
func NewExchange(c ExchangeConfig) *Exchange {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Exchange{config: c, faults: map[string]error{}}
}

// Err is why this replica does not hold, or has not sent, every record.
func (x *Exchange) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for _, err := range x.faults {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Run exchanges until ctx ends, whose error it returns.
func (x *Exchange) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		x.watch(ctx)
	}
	return ctx.Err()
}

// watch works until the store's watch breaks off.
func (x *Exchange) watch(ctx context.Context) {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	told, err := x.config.Store.Watch(inner, "audit/")
	if err != nil {
		told = nil // only the ticker wakes us, until the next try
	}
	look := time.NewTicker(exchangeLag)
	defer look.Stop()
	write := time.NewTicker(lookEvery)
	defer write.Stop()
	x.collect(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-told:
			if !ok {
				return
			}
			x.heard(ctx, event.Key)
		case <-write.C:
			x.tell("send", x.publish(ctx))
		case <-look.C:
			x.tell("answer", x.answer(ctx))
			x.collect(ctx)
			if told == nil {
				return
			}
		}
	}
}

// heard does what a changed key asks for; an empty one may stand for anything.
func (x *Exchange) heard(ctx context.Context, key string) {
	switch {
	case key == "":
		x.tell("answer", x.answer(ctx))
		x.collect(ctx)
	case strings.HasPrefix(key, wants+x.config.Replica+"/"):
		x.tell("answer", x.answer(ctx))
	case strings.HasPrefix(key, parcels):
		if replica, _, _ := strings.Cut(key[len(parcels):], "/"); replica != x.config.Replica {
			x.tell("collect "+replica, x.collectFrom(ctx, replica))
		}
	}
}

func (x *Exchange) tell(what string, err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
		return // the end of Run says nothing, and a store that is away is told of elsewhere
	}
	x.mu.Lock()
	was := x.faults[what]
	if err == nil {
		delete(x.faults, what)
	} else {
		x.faults[what] = err
	}
	x.mu.Unlock()
	switch {
	case err != nil && was == nil:
		x.config.Logger.Error("audit exchange: not every replica holds every record", "while", what, "error", err)
	case err == nil && was != nil:
		x.config.Logger.Info("audit exchange: goes on", "while", what)
	}
}

// errName is two gateways under one name, or one that lost its folder.
var errName = errors.New("the store knows more records of this replica than its folder holds: " +
	"was audit.dir emptied, or do two gateways use one name?")

// publish sends what was written since the last time.
func (x *Exchange) publish(ctx context.Context) error {
	entry, sent, err := x.sent(ctx)
	if err != nil {
		return err
	}
	held, err := x.config.Chain.Held(ctx, x.config.Replica)
	if err != nil || held == sent {
		return err
	}
	if held < sent {
		return errName
	}
	for sent < held {
		parcel, err := x.config.Chain.Pack(ctx, sent)
		if err != nil || len(parcel.Lines) == 0 {
			return err
		}
		tip := store.Over(tips+x.config.Replica, decimal(parcel.Last), entry.Version)
		if err := x.send(ctx, parcel, tip); err != nil {
			return err
		}
		if entry, sent, err = x.sent(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sent is how far this replica's records have been sent, 0 when never. A failover
// may have lost the last moment, and with it a newer tip (R14): the older one only
// makes us send again what the others hold, so it is taken; otherwise nobody would
// be ready again until every replica has been restarted (R6).
func (x *Exchange) sent(ctx context.Context) (store.Entry, uint64, error) {
	key := tips + x.config.Replica
	entry, err := x.config.Store.Get(ctx, key)
	if errors.Is(err, store.ErrOutdated) && x.config.Renew != nil {
		if err := x.config.Renew(ctx, key); err != nil {
			return entry, 0, err
		}
		entry, err = x.config.Store.Get(ctx, key)
	}
	if errors.Is(err, store.ErrNotFound) {
		return store.Entry{}, 0, nil
	}
	if err != nil {
		return entry, 0, err
	}
	seq, err := strconv.ParseUint(string(entry.Value), 10, 64)
	return entry, seq, err
}

// send writes one parcel and whatever belongs into the same commit.
func (x *Exchange) send(ctx context.Context, p audit.Parcel, with ...store.Op) error {
	value, err := encode(p)
	if err != nil {
		return err
	}
	put := store.Put(parcelKey(p.Replica, p.Last), value)
	put.Lifetime = parcelLife
	return x.config.Store.Commit(ctx, append(with, put)...)
}

// answer sends again what other replicas say they miss, a bounded piece for
// each question: who misses more asks again.
func (x *Exchange) answer(ctx context.Context) error {
	prefix := wants + x.config.Replica + "/"
	questions, err := x.config.Store.Scan(ctx, prefix, "", store.MaxPage)
	if err != nil {
		return err
	}
	for _, question := range questions {
		from, err := strconv.ParseUint(string(question.Value), 10, 64)
		if err != nil {
			return fmt.Errorf("a question of another replica: %w", err)
		}
		if err := x.sendFrom(ctx, from); err != nil {
			return err
		}
		if err := x.config.Store.Commit(ctx, store.Delete(question.Key)); err != nil {
			return err
		}
	}
	return nil
}

func (x *Exchange) sendFrom(ctx context.Context, from uint64) error {
	after := from - min(from, 1)
	for range answerSize {
		parcel, err := x.config.Chain.Pack(ctx, after)
		if err != nil || len(parcel.Lines) == 0 {
			return err
		}
		if err := x.send(ctx, parcel); err != nil {
			return err
		}
		after = parcel.Last
	}
	return nil
}

// collect takes what every other replica has sent.
func (x *Exchange) collect(ctx context.Context) {
	replicas, err := x.config.Store.Scan(ctx, tips, "", store.MaxPage)
	x.tell("collect", err)
	for _, tip := range replicas {
		if replica := tip.Key[len(tips):]; replica != x.config.Replica {
			x.tell("collect "+replica, x.collectFrom(ctx, replica))
		}
	}
}

// collectFrom takes what one replica has sent, and asks for what is missing.
func (x *Exchange) collectFrom(ctx context.Context, replica string) error {
	tip, err := x.config.Store.Get(ctx, tips+replica)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	newest, err := strconv.ParseUint(string(tip.Value), 10, 64)
	if err != nil {
		return fmt.Errorf("the tip of %s: %w", replica, err)
	}
	for {
		held, err := x.config.Chain.Held(ctx, replica)
		if err != nil || held >= newest {
			return err
		}
		taken, err := x.take(ctx, replica, held)
		if errors.Is(err, audit.ErrGap) || err == nil && !taken {
			return x.ask(ctx, replica, held+1)
		}
		if err != nil {
			return err
		}
	}
}

// take unpacks one page of parcels that end after held; false when there is none.
func (x *Exchange) take(ctx context.Context, replica string, held uint64) (bool, error) {
	page, err := x.config.Store.Scan(ctx, parcels+replica+"/", parcelKey(replica, held), collectPage)
	if err != nil {
		return false, err
	}
	for _, entry := range page {
		parcel, err := decode(entry.Value)
		if err != nil {
			return false, err
		}
		if parcel.Replica != replica {
			return false, fmt.Errorf("%s holds a parcel of another replica", entry.Key)
		}
		if err := x.config.Chain.Unpack(ctx, parcel); err != nil {
			return false, err
		}
	}
	return len(page) > 0, nil
}

func (x *Exchange) ask(ctx context.Context, replica string, seq uint64) error {
	want := store.Put(wants+replica+"/"+x.config.Replica, decimal(seq))
	want.Lifetime = wantLife
	return x.config.Store.Commit(ctx, want)
}

func decimal(seq uint64) []byte { return strconv.AppendUint(nil, seq, 10) }

// parcelKey sorts as its number does.
func parcelKey(replica string, last uint64) string {
	return fmt.Sprintf("%s%s/%020d", parcels, replica, last)
}

// parcel is a Parcel as the store keeps it. Lines are apart by newlines: they
// hold none.
type parcel struct {
	Replica    string `json:"replica"`
	First      uint64 `json:"first"`
	Last       uint64 `json:"last"`
	Lines      string `json:"lines"`
	Checkpoint string `json:"checkpoint,omitempty"`
	Trim       string `json:"trim,omitempty"`
}

func encode(p audit.Parcel) ([]byte, error) {
	return json.Marshal(parcel{
		Replica: p.Replica, First: p.First, Last: p.Last, Lines: string(bytes.Join(p.Lines, []byte{'\n'})),
		Checkpoint: string(p.Checkpoint), Trim: string(p.Trim),
	})
}

func decode(value []byte) (audit.Parcel, error) {
	var p parcel
	if err := json.Unmarshal(value, &p); err != nil {
		return audit.Parcel{}, fmt.Errorf("a parcel of records: %w", err)
	}
	return audit.Parcel{
		Replica: p.Replica, First: p.First, Last: p.Last, Lines: bytes.Split([]byte(p.Lines), []byte{'\n'}),
		Checkpoint: []byte(p.Checkpoint), Trim: []byte(p.Trim),
	}, nil
}
