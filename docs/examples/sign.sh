#!/bin/bash
# Usage: sign.sh ADDRESS
# Has ordersigner sign an order, typed data and a transaction with the key of this
# address. Needs jq, and nc of netcat-openbsd. With socat in place of nc:
#     socat -t 10 - "UNIX-CONNECT:$socket"
set -euo pipefail
socket=${ORDERSIGNER_SOCKET:-/run/ordersigner/ordersigner.sock}

# One request a line. Amounts are strings, because jq rounds large numbers.
jq --compact-output '. + {signer: $signer}' --arg signer "$1" <<'END' |
{"type": "spot",
 "order": {
   "accountId": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282",
   "timestamp": 12382173200872, "orderType": "LMT", "side": "buy",
   "quantity": "12.3343", "price": "23.44322"},
 "instrument": {
   "base": {"address": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282", "decimals": 9},
   "quote": {
     "address": "0x0000000000000000000000000000000000000000", "decimals": 18}}}
{"type": "typed_data", "typed_data": {
   "types": {
     "EIP712Domain": [
       {"name": "name", "type": "string"}, {"name": "chainId", "type": "uint256"}],
     "Offer": [
       {"name": "item", "type": "string"}, {"name": "price", "type": "uint256"}]},
   "primaryType": "Offer",
   "domain": {"name": "Example", "chainId": 1},
   "message": {"item": "Tea", "price": "1000000000000000000"}}}
{"type": "transaction", "transaction": {
   "type": 2, "chainId": 1, "nonce": 7, "gas": 21000,
   "maxPriorityFeePerGas": "1000000000", "maxFeePerGas": "20000000000",
   "to": "0x5555555555555555555555555555555555555555", "value": "1000000000000000",
   "data": "0x", "accessList": []}}
END
    nc -N -w 10 -U "$socket" |
    # Prints the signed transaction or the signature. At a refusal it prints the field
    # and the code, and ends with status 1.
    jq --raw-output 'if .ok then .transaction // .signature
        elif .error.context == {} then .error.type + "\n" | halt_error(1)
        else .error.context | to_entries[0] | "\(.key): \(.value[0].code)\n"
        | halt_error(1) end'
