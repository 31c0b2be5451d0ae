//! What the wire tests share: the test vectors and a way to write messages as hex.
#![allow(dead_code, reason = "each test binary uses its own part")]

use grasp::wire::{DecodeError, Limits, Message, Rule, decode};

/// The test vectors: id and message in hex.
pub(crate) const VECTORS: [(&str, &str); 35] = [
    ("V-01", "84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050200"),
    ("V-02", "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608418675020010db8f000baaaf000baaaf000baaa0619c123"),
    (
        "V-03",
        "85091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050282704578616d706c6520312076616c75653d186480",
    ),
    ("V-04", "83041a003da10e8463455832050500"),
    ("V-05", "83081a003da10e8463455832050582704578616d706c6520322076616c75653d18c8"),
    ("V-06", "83031a000c3ffd8463455833030682634e5a44182f"),
    ("V-07", "83061a000c3ffd811865"),
    ("V-08", "83031a00d214628463455833030682634e5a4419019a"),
    ("V-09", "83051a00d214628463455833030682634e5a441850"),
    ("V-10", "83051a00d214628463455833030582634e5a44190133"),
    ("V-11", "83071a00d21462198895"),
    ("V-12", "83051a00d214628463455833030482634e5a441878"),
    ("V-13", "83051a00d214628463455833030382634e5a4418f6"),
    ("V-14", "83061a00d2146282186672496e73756666696369656e742066756e6473"),
    ("V-15", "8100"),
    (
        "V-16",
        "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608218648418675020010db8f000baaaf000baaaf000baaa0619c123",
    ),
    (
        "V-17",
        "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608318648418675020010db8f000baaaf000baaaf000baaa0619c1238418696d612e6578616d706c652e636f6d061901bb",
    ),
    (
        "V-18",
        "86021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608418675020010db8f000baaaf000baaaf000baaa0619c1238418696d612e6578616d706c652e636f6d0619c123",
    ),
    (
        "V-19",
        "86021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea608418675020010db8f000baaaf000baaaf000baaa0619c1238463455831050200",
    ),
    (
        "V-20",
        "85021a00d4d7485020010db8f000baaa28ccdc4c970367810084186a75636f61703a2f2f5b323030313a6462383a3a315d2ff6f6",
    ),
    ("V-21", "84011a00d4d7485020010db8f000baaa28ccdc4c9703678183634558310502"),
    ("V-22", "84011a00d4d7485020010db8f000baaa28ccdc4c970367818463455831050100"),
    ("V-23", "84010144c000020184634558310506f6"),
    (
        "V-24",
        "86091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050601808284634558320503028418675020010db8f000baaaf000baaaf000baaa06191b69",
    ),
    (
        "V-25",
        "86091a00357b4e5020010db8f000baaa28ccdc4c97036781192710828463455831050501808284634558320503028418675020010db8f000baaaf000baaaf000baaa06191b69",
    ),
    (
        "V-26",
        "85091a00bc4e4f50fe80000000000000c0011001feef00001a00033450828466414e5f414350040165494b45763284186750fe80000000000000c0011001feef000011193a98",
    ),
    ("V-27", "83031a000c3ffd84634558330306d8184782634e5a44182f"),
    ("V-28", "83031a000c3ffd84634558330b0682634e5a44182f"),
    ("V-29", "83041a003da10e84634558320505f6"),
    ("V-30", "83041a003da10e83634558320505"),
    ("V-31", "83061a000c3ffd811866"),
    ("V-32", "8318631a000c3ffd48830a1a000c3ffd80"),
    ("V-33", "8218631a000c3ffd"),
    ("V-34", "830a1a000c3ffd80"),
    ("V-35", "83071a00d2146200"),
];

/// The bytes of a vector.
pub(crate) fn vector(id: &str) -> Vec<u8> {
    hex(VECTORS.iter().find(|(known, _)| *known == id).unwrap().1)
}

/// Bytes from hex; blanks only separate.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    grasp::hex::decode(&text.replace(' ', "")).unwrap()
}

/// Decodes with the default limits.
pub(crate) fn read(bytes: &[u8]) -> Result<Message, DecodeError> {
    decode(bytes, &Limits::default())
}

/// Decodes hex that must be a message.
pub(crate) fn message(text: &str) -> Message {
    read(&hex(text)).unwrap()
}

/// Decodes hex that must be refused, and tells the rule it broke.
pub(crate) fn rule(text: &str) -> Rule {
    read(&hex(text)).unwrap_err().rule
}

/// The initiator of the vectors, encoded.
pub(crate) const INITIATOR: &str = "50 20010db8f000baaa28ccdc4c97036781";
/// A usable IPv6 locator option, encoded.
pub(crate) const LOCATOR: &str = "84 1867 50 20010db8f000baaaf000baaaf000baaa 06 19c123";
/// The start of a discovery, up to its objective.
pub(crate) const DISCOVERY: &str = "84 01 01 50 20010db8f000baaa28ccdc4c97036781";

/// A response with these elements behind its ttl.
pub(crate) fn response(elements: &[&str]) -> String {
    format!("{:02x} 02 01 {INITIATOR} 19ea60 {}", 0x84 + elements.len(), elements.join(" "))
}

/// A flood with these elements behind its ttl.
pub(crate) fn flood(elements: &[&str]) -> String {
    format!("{:02x} 09 01 {INITIATOR} 192710 {}", 0x84 + elements.len(), elements.join(" "))
}
