package kingdee

import (
	"context"
	"fmt"
	"math/big"
	"strings"

	"kdgate/identity"
)

// StockLevel is what is on hand of a material with a safety stock.
type StockLevel struct {
	Material, Name string // number and name
	Quantity       Decimal
	SafetyStock    Decimal
}

// LowStock lists the materials in use of which less is on hand than their safety
// stock, all warehouses together, in base units (F70). The numbers are compared
// exactly.
func (c *Client) LowStock(ctx context.Context) ([]StockLevel, error) {
	k := c.cfg.Forms.Stock
	materials := walker{client: c, query: Query{
		Form: k.MaterialForm, Fields: []string{k.MaterialID, k.MaterialNumber, k.MaterialTitle, k.SafetyStock},
		Filter: Where(Above(k.SafetyStock, "0"), Is(k.ForbidStatus, "A")),
	}}
	var low []StockLevel
	for more := true; more; {
		page, goOn, err := materials.next(ctx)
		if err != nil {
			return nil, err
		}
		found, err := c.lowAmong(ctx, page)
		if err != nil {
			return nil, err
		}
		low, more = append(low, found...), goOn
	}
	return low, nil
}

// lowAmong picks those of a page of materials of which there is too little.
func (c *Client) lowAmong(ctx context.Context, page [][]string) ([]StockLevel, error) {
	k := c.cfg.Forms.Stock
	var low []StockLevel
	for from := 0; from < len(page); from += mostValues {
		part := page[from:min(from+mostValues, len(page))]
		numbers := make([]string, 0, len(part))
		for _, row := range part {
			numbers = append(numbers, row[1])
		}
		onHand, err := c.onHand(ctx, numbers)
		if err != nil {
			return nil, err
		}
		for _, row := range part {
			safety, err := exactly(k.MaterialForm, row[3])
			if err != nil {
				return nil, err
			}
			have := onHand[row[1]]
			if have == nil {
				have = new(big.Rat)
			}
			if have.Cmp(safety) < 0 {
				low = append(low, StockLevel{Material: row[1], Name: row[2], Quantity: decimalOf(have), SafetyStock: Decimal(row[3])})
			}
		}
	}
	return low, nil
}

// onHand adds up the stock of some materials.
func (c *Client) onHand(ctx context.Context, materials []string) (map[string]*big.Rat, error) {
	k := c.cfg.Forms.Stock
	sums := map[string]*big.Rat{}
	walk := walker{client: c, query: Query{Form: k.Form, Fields: []string{k.ID, k.Material, k.Quantity}, Filter: OneOf(k.Material, materials...)}}
	for more := true; more; {
		page, goOn, err := walk.next(ctx)
		if err != nil {
			return nil, err
		}
		for _, row := range page {
			quantity, err := exactly(k.Form, row[2])
			if err != nil {
				return nil, err
			}
			if sums[row[1]] == nil {
				sums[row[1]] = new(big.Rat)
			}
			sums[row[1]].Add(sums[row[1]], quantity)
		}
		more = goOn
	}
	return sums, nil
}

// exactly reads a number that Kingdee answered; none is 0.
func exactly(form, text string) (*big.Rat, error) {
	if text == "" {
		return new(big.Rat), nil
	}
	if !Decimal(text).Valid() {
		return nil, identity.Fail(identity.Upstream, identity.CodeKingdeeSetup, "kingdee: %s: a quantity that is no plain number", form)
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return nil, fmt.Errorf("kingdee: %s: %w", form, ErrValue)
	}
	return n, nil
}

// decimalOf writes a sum of decimals: it ends, so ten places hold it.
func decimalOf(n *big.Rat) Decimal {
	text := n.FloatString(10) // exact text, no float in spite of the name
	return Decimal(strings.TrimSuffix(strings.TrimRight(text, "0"), "."))
}
