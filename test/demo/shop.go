package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
)

// shop is the application whose changes are watched.
type shop struct {
	conn      *client.Conn
	customers int
	orders    int
	rows      int // changed so far
}

var tables = []string{
	"CREATE TABLE " + schema + ".customers (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) NOT NULL, city VARCHAR(40), points INT NOT NULL DEFAULT 0)",
	"CREATE TABLE " + schema + ".orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, status VARCHAR(10) NOT NULL, total DECIMAL(10,2) NOT NULL, placed DATETIME NOT NULL)",
	"CREATE TABLE " + schema + ".items (orders INT NOT NULL, line INT NOT NULL, product VARCHAR(30) NOT NULL, amount INT NOT NULL, PRIMARY KEY (orders, line))",
}

func openShop(ctx context.Context, src *source) (*shop, error) {
	c, err := client.ConnectWithContext(ctx, src.addr, src.user, src.password, "", 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect to the source: %w", err)
	}
	s := &shop{conn: c}
	// One that is there already is not ours to drop.
	if _, err := c.Execute("CREATE DATABASE " + schema); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("make the schema %s: %w", schema, err)
	}
	for _, sql := range tables {
		if _, err := c.Execute(sql); err != nil {
			s.close()
			return nil, fmt.Errorf("%s: %w", sql, err)
		}
	}
	return s, nil
}

func (s *shop) close() {
	_, _ = s.conn.Execute("DROP DATABASE " + schema)
	_ = s.conn.Close()
}

var (
	names    = []string{"Ada", "Bela", "Chen Wei", "Dörte", "Emre", "Fatima", "Goran", "Hanako", "Ines", "李雷"}
	cities   = []string{"Berlin", "Hangzhou", "Lagos", "Lima", "Oslo", "Porto", "台北"}
	products = []string{"tea", "coffee", "rice", "lamp", "bicycle", "notebook", "umbrella"}
)

func pick(list []string) string { return list[rand.IntN(len(list))] }

// trade writes until the context ends and returns how many rows it changed.
func (s *shop) trade(ctx context.Context) (int, error) {
	tick := time.NewTicker(120 * time.Millisecond)
	defer tick.Stop()
	for {
		if err := s.step(); err != nil {
			return s.rows, fmt.Errorf("write to the shop: %w", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s.rows, nil
		}
	}
}

// step is one thing that happens in the shop, in one transaction.
func (s *shop) step() error {
	switch n := rand.IntN(10); {
	case s.customers < 3 || n == 0:
		s.customers++
		return s.transaction(fmt.Sprintf("INSERT INTO %s.customers (name, city) VALUES ('%s', '%s')", schema, pick(names), pick(cities)))
	case s.orders < 2 || n < 5:
		s.orders++
		lines := 1 + rand.IntN(3)
		statements := []string{fmt.Sprintf("INSERT INTO %s.orders VALUES (%d, %d, 'new', %d.%02d, NOW())", schema, s.orders, 1+rand.IntN(s.customers), 5+rand.IntN(200), rand.IntN(100))}
		for line := range lines {
			statements = append(statements, fmt.Sprintf("INSERT INTO %s.items VALUES (%d, %d, '%s', %d)", schema, s.orders, line+1, pick(products), 1+rand.IntN(5)))
		}
		return s.transaction(statements...)
	case n < 9:
		return s.transaction(fmt.Sprintf("UPDATE %s.orders SET status = '%s' WHERE id = %d", schema, pick([]string{"paid", "packed", "sent"}), 1+rand.IntN(s.orders)),
			fmt.Sprintf("UPDATE %s.customers SET points = points + %d WHERE id = %d", schema, 1+rand.IntN(9), 1+rand.IntN(s.customers)))
	}
	return s.transaction(fmt.Sprintf("DELETE FROM %s.items WHERE orders = %d", schema, 1+rand.IntN(s.orders)))
}

func (s *shop) transaction(statements ...string) error {
	if err := s.conn.Begin(); err != nil {
		return err
	}
	rows := 0
	for _, sql := range statements {
		res, err := s.conn.Execute(sql)
		if err != nil {
			return err
		}
		rows += int(res.AffectedRows)
		res.Close()
	}
	if err := s.conn.Commit(); err != nil {
		return err
	}
	s.rows += rows
	return nil
}
