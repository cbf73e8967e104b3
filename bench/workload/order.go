package workload

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
)

// FlashSKU is what everybody wants.
const FlashSKU = "FLASH 1"

// Placement is the body of POST /v1/orders.
type Placement struct {
	OrderID  string `json:"order_id"`
	Customer string `json:"customer_id"`
	Currency string `json:"currency"`
	Items    []Item `json:"items"`
}

// OrderID is the id of the i-th order.
func OrderID(i int) string { return fmt.Sprintf("bench-%06d", i) }

// FlashOrder is the i-th order of one of [FlashSKU].
func FlashOrder(i int) []byte {
	return encode(Placement{OrderID(i), fmt.Sprintf("c%05d", i), "GBP", []Item{{SKU: FlashSKU, Quantity: 1, UnitPrice: 999}}})
}

// Goods are the lines of real invoices, one for each time that something was bought.
type Goods []string

// ReadGoods reads them from a file of invoices, an object a line.
func ReadGoods(path string) (Goods, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all Goods
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var invoice Placement
		if err := json.Unmarshal(lines.Bytes(), &invoice); err != nil {
			return nil, err
		}
		for _, item := range invoice.Items {
			all = append(all, item.SKU)
		}
	}
	return all, lines.Err()
}

// SKUs are the different goods.
func (g Goods) SKUs() []string {
	seen := map[string]bool{}
	var all []string
	for _, sku := range g {
		if !seen[sku] {
			seen[sku] = true
			all = append(all, sku)
		}
	}
	return all
}

// OrdinaryOrder is the i-th order of five goods, each as likely as it is popular.
func (g Goods) OrdinaryOrder(i int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(i)))
	p := Placement{OrderID(i), fmt.Sprintf("c%05d", i%5000), "GBP", nil}
	for range 5 {
		p.Items = append(p.Items, Item{SKU: g[random.IntN(len(g))], Quantity: 1 + random.IntN(3), UnitPrice: 255})
	}
	return encode(p)
}
