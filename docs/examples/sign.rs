// Has ordersigner sign an order, typed data and a transaction with the key of an
// address. It needs no crates:
//     rustc -O sign.rs && ./sign ADDRESS
use std::io::{BufRead, BufReader, Error, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

// Each is sent as one line. Amounts are strings, so no library rounds them.
const REQUESTS: [&str; 3] = [
    r#"{"type": "spot",
        "order": {
            "accountId": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282",
            "timestamp": 12382173200872, "orderType": "LMT", "side": "buy",
            "quantity": "12.3343", "price": "23.44322"},
        "instrument": {
            "base": {"decimals": 9,
                "address": "0x167cdb1aC9979A6a694B368ED3D2bF9259Fa8282"},
            "quote": {"decimals": 18,
                "address": "0x0000000000000000000000000000000000000000"}},
        "signer": "SIGNER"}"#,
    r#"{"type": "typed_data", "typed_data": {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "chainId", "type": "uint256"}],
            "Offer": [
                {"name": "item", "type": "string"},
                {"name": "price", "type": "uint256"}]},
        "primaryType": "Offer",
        "domain": {"name": "Example", "chainId": 1},
        "message": {"item": "Tea", "price": "1000000000000000000"}},
        "signer": "SIGNER"}"#,
    r#"{"type": "transaction", "transaction": {
        "type": 2, "chainId": 1, "nonce": 7, "gas": 21000,
        "maxPriorityFeePerGas": "1000000000", "maxFeePerGas": "20000000000",
        "to": "0x5555555555555555555555555555555555555555",
        "value": "1000000000000000", "data": "0x", "accessList": []},
        "signer": "SIGNER"}"#,
];

// The text after `name`, up to the next quotation mark. A response has a backslash
// before each quotation mark inside a text.
fn after<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = response.split_once(name)?;
    rest.split('"').next()
}

fn fail(why: String) -> ! {
    eprintln!("{why}");
    std::process::exit(1)
}

fn main() -> Result<(), Error> {
    let signer = std::env::args().nth(1).expect("Usage: sign ADDRESS");
    let path = std::env::var("ORDERSIGNER_SOCKET")
        .unwrap_or("/run/ordersigner/ordersigner.sock".to_string());
    // If there is no such file: systemctl start ordersigner.socket
    let mut connection = UnixStream::connect(&path)?;
    connection.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut responses = BufReader::new(connection.try_clone()?).lines();
    for request in REQUESTS {
        let line = request.replace('\n', " ").replace("SIGNER", &signer) + "\n";
        connection.write_all(line.as_bytes())?;
        let response = responses.next().expect("the daemon ended the connection")?;
        let signed = after(&response, "\"transaction\": \"")
            .or(after(&response, "\"signature\": \""));
        // A refusal: {"ok": false, "error": {..., "context": {"FIELD": [{"code": "CODE", ...
        let field = after(&response, "\"context\": {\"");
        let code = after(&response, "\"code\": \"");
        match (signed, field, code) {
            (Some(text), _, _) => println!("{text}"),
            (_, Some(field), Some(code)) => fail(format!("{field}: {code}")),
            _ => fail(response), // the daemon failed: its journal says why
        }
    }
    Ok(())
}
