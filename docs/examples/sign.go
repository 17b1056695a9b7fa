// Has ordersigner sign an order, typed data and a transaction with the key of an
// address:
//
//	go run sign.go ADDRESS
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"time"
)

type object = map[string]any

type response struct {
	Ok          bool
	Signature   string
	Transaction string // the whole signed transaction, if the request was one
	Error       struct {
		Type, Message string
		// What is wrong, by field.
		Context map[string][]struct{ Code, Message string }
	}
}

// Amounts are strings, because a float64 would be rounded before it is signed.
var requests = []object{
	{"type": "spot",
		"order": object{
			"accountId": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282",
			"timestamp": 12382173200872, "orderType": "LMT", "side": "buy",
			"quantity": "12.3343", "price": "23.44322"},
		"instrument": object{
			"base": object{"decimals": 9,
				"address": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282"},
			"quote": object{"decimals": 18,
				"address": "0x0000000000000000000000000000000000000000"}}},
	{"type": "typed_data", "typed_data": object{
		"types": object{
			"EIP712Domain": []object{
				{"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}},
			"Offer": []object{
				{"name": "item", "type": "string"}, {"name": "price", "type": "uint256"}}},
		"primaryType": "Offer",
		"domain":      object{"name": "Example", "chainId": 1},
		"message":     object{"item": "Tea", "price": "1000000000000000000"}}},
	{"type": "transaction", "transaction": object{
		"type": 2, "chainId": 1, "nonce": 7, "gas": 21000,
		"maxPriorityFeePerGas": "1000000000", "maxFeePerGas": "20000000000",
		"to":    "0x5555555555555555555555555555555555555555",
		"value": "1000000000000000", "data": "0x", "accessList": []object{}}},
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("Usage: sign ADDRESS")
	}
	path := os.Getenv("ORDERSIGNER_SOCKET")
	if path == "" {
		path = "/run/ordersigner/ordersigner.sock"
	}
	connection, err := net.Dial("unix", path)
	if err != nil {
		log.Fatal(err) // start the daemon: systemctl start ordersigner.socket
	}
	encoder := json.NewEncoder(connection)
	decoder := json.NewDecoder(bufio.NewReader(connection))
	for _, request := range requests {
		connection.SetDeadline(time.Now().Add(10 * time.Second))
		request["signer"] = os.Args[1]
		var answer response
		if err := encoder.Encode(request); err != nil { // with the end of the line
			log.Fatal(err)
		}
		if err := decoder.Decode(&answer); err != nil {
			log.Fatal(err)
		}
		for field, problems := range answer.Error.Context {
			log.Fatalf("%s: %s", field, problems[0].Code)
		}
		switch {
		case answer.Transaction != "":
			fmt.Println(answer.Transaction)
		case answer.Ok:
			fmt.Println(answer.Signature)
		default: // the daemon failed: its journal says why
			log.Fatal(answer.Error.Type)
		}
	}
}
