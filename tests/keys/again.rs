//! `asa keys` with nodes that were put out, and their ways back in.

use super::Place;

/// Changes the last words of the certificate with this number, counted from 0, in the register: until when, and when revoked.
fn rewrite(place: &Place, number: usize, until: &str, revoked: &str) {
    let mut seen = 0;
    let mut text = String::new();
    for line in place.read("ca/register").lines() {
        let mut words: Vec<&str> = line.split(' ').collect();
        if words[0] == "certificate" {
            if seen == number {
                words[5..].copy_from_slice(&[until, revoked]);
            }
            seen += 1;
        }
        text += &(words.join(" ") + "\n");
    }
    assert!(seen > number);
    place.write("ca/register", &text);
}

/// What each certificate in the register says of its revocation.
fn revoked(place: &Place) -> Vec<bool> {
    let register = place.read("ca/register");
    register.lines().filter(|line| line.starts_with("certificate ")).map(|line| !line.ends_with(" -")).collect()
}

#[test]
fn a_revoked_node_is_not_renewed_from_a_certificate_that_had_ended() {
    let place = Place::founded();
    place.done("issue north --dir ca");
    std::fs::copy(place.path("north/north.crt"), place.path("first.crt")).unwrap();
    place.done("renew north --dir ca");
    rewrite(&place, 0, "2020-01-01T00:00:00Z", "-");
    place.done("revoke north --dir ca");
    assert_eq!(revoked(&place), [false, true]);
    place.refused("renew north --dir ca", 1, "north is revoked; asa keys issue north --out ANOTHER-DIRECTORY");
    place.refused("renew north --dir ca --same-key", 1, "north is revoked");
    place.refused("issue north --dir ca", 1, "choose another directory with --out");
    place.done("issue north --dir ca --out again");
    // It is in again, with the new key only.
    let new = place.read("again/north.crt");
    std::fs::copy(place.path("first.crt"), place.path("again/north.crt")).unwrap();
    place.refused("renew north --dir ca --out again --same-key", 1, "its key cannot be kept");
    place.write("again/north.crt", &new);
    place.done("renew north --dir ca --out again --same-key");
}

#[test]
fn a_revoked_node_is_not_renewed_though_its_newest_certificate_had_ended() {
    let place = Place::founded();
    place.done("issue north --dir ca");
    place.done("renew north --dir ca");
    rewrite(&place, 1, "2020-01-01T00:00:00Z", "-");
    place.done("revoke north --dir ca");
    assert_eq!(revoked(&place), [true, false]);
    place.refused("renew north --dir ca", 1, "north is revoked; asa keys issue");
    place.done("issue north --dir ca --out again");
    place.done("renew north --dir ca --out again");
}

#[test]
fn a_node_whose_newest_certificate_is_revoked_is_put_out_whole_before_it_is_let_in() {
    let place = Place::founded();
    place.done("issue north --dir ca");
    let newest = place.json("renew north --dir ca")["serial"].as_str().unwrap().to_owned();
    place.done(&format!("revoke {newest} --dir ca"));
    assert_eq!(revoked(&place), [false, true]);
    place.refused("renew north --dir ca", 1, "asa keys revoke north; then asa keys issue north --out");
    let (_, _, err) = place.keys("issue north --dir ca --out again");
    assert!(err.contains("asa keys revoke before") && !err.contains("renew"), "{err}");
    place.done("revoke north --dir ca");
    assert_eq!(revoked(&place), [true, true]);
    place.done("issue north --dir ca --out again");
}

#[test]
fn a_node_that_let_its_certificate_end_is_renewed() {
    let place = Place::founded();
    place.done("issue north --dir ca");
    place.done("renew north --dir ca --revoke-old");
    rewrite(&place, 0, "2022-01-01T00:00:00Z", "2020-01-01T00:00:00Z");
    rewrite(&place, 1, "2021-01-01T00:00:00Z", "-");
    place.done("renew north --dir ca");
}

#[test]
fn names_that_differ_in_case_only_are_one_name() {
    let place = Place::founded();
    place.done("issue na --dir ca");
    let register = place.read("ca/register");
    place.refused("issue NA --dir ca --out other", 1, "NA and na differ in upper and lower case only");
    assert!(!place.path("other").exists() && place.read("ca/register") == register);
    place.refused("issue Na --dir ca", 1, "asa keys revoke na before");
    place.done("renew na --dir ca");
    // The name is free when nobody is accepted under it; then the first cannot come back beside the second.
    rewrite(&place, 0, "2020-01-01T00:00:00Z", "-");
    rewrite(&place, 1, "2020-01-01T00:00:00Z", "-");
    place.done("issue NA --dir ca --out other");
    place.refused("renew na --dir ca", 1, "na and NA differ in upper and lower case only");
    place.done("revoke NA --dir ca");
    place.done("renew na --dir ca");
}
