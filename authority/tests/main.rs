//! What the authority makes, read by libraries that did not make it.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use asa_authority::inspect::{Item, inspect};
use asa_authority::{
    AcpNodeName, Authority, Domain, Error, NodeName, Request, Revocations, Revoked, Serial, Validity, Zeroizing, verify,
};
use proptest::prelude::*;
use time::{Duration, OffsetDateTime};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

/// 2026-11-21T12:00:00Z
fn now() -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_795_262_400).unwrap()
}

fn days(days: i64) -> Validity {
    Validity { from: now(), until: now() + Duration::days(days) }
}

fn serial(seed: u8) -> Serial {
    Serial::from_random([seed; 16])
}

fn founded(domain: &str) -> (Authority, Zeroizing<String>) {
    Authority::create(domain.parse().unwrap(), serial(1), days(3650)).unwrap()
}

fn request(node: &str, name: &str) -> Request {
    Request { node: node.parse().unwrap(), name: name.parse().unwrap(), serial: serial(0xab), validity: days(365) }
}

fn der(pem: &str) -> Vec<u8> {
    Pem::iter_from_buffer(pem.as_bytes()).next().unwrap().unwrap().contents
}

fn list(authority: &Authority, number: u64, serials: &[Serial], for_days: i64) -> String {
    let revoked = serials.iter().map(|serial| Revoked { serial: *serial, at: now() }).collect();
    authority.revocations(&Revocations { number, validity: days(for_days), revoked }).unwrap()
}

/// RFC 5280, sections 4.2.1.3 and 4.2.1.9
#[test]
fn an_authority_signs_certificates_and_lists_and_no_further_authority() {
    let (authority, _) = founded("acp.example.com");
    let der = der(authority.certificate());
    let (_, read) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(read.subject().to_string(), "CN=acp.example.com domain authority");
    assert_eq!(read.issuer(), read.subject());
    let constraints = read.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let usage = read.key_usage().unwrap().unwrap();
    assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
    assert_eq!(usage.value.flags.count_ones(), 2);
    assert_eq!(read.signature_algorithm.algorithm.to_id_string(), "1.2.840.10045.4.3.2");
    assert_eq!(read.validity().not_after.timestamp() - read.validity().not_before.timestamp(), 3650 * 86_400);
    read.verify_signature(None).unwrap();
}

/// RFC 8994, sections 6.2.1 and 6.2.2
#[test]
fn a_node_has_its_acp_node_name_as_ia5string_and_may_be_client_and_server() {
    let (authority, _) = founded("acp.example.com");
    let name = "fd89b714f3db00000200000064000000+area51.research@acp.example.com";
    let issued = authority.issue(&request("north-1", name)).unwrap();
    let der = der(&issued.certificate);
    let (_, read) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(read.subject().to_string(), "CN=north-1");
    assert_eq!(read.raw_serial()[0] & 0xc0, 0x40);
    assert_eq!(read.raw_serial().len(), 16);
    assert!(!read.is_ca());
    let usage = read.key_usage().unwrap().unwrap().value;
    assert!(usage.digital_signature() && usage.key_agreement());
    assert_eq!(usage.flags.count_ones(), 2);
    let purposes = read.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.client_auth && purposes.server_auth && !purposes.any && !purposes.code_signing);
    let names = &read.subject_alternative_name().unwrap().unwrap().value.general_names;
    let [GeneralName::OtherName(oid, value), GeneralName::DNSName("north-1.acp.example.com")] = &names[..] else {
        panic!("{names:?}")
    };
    assert_eq!(oid.to_id_string(), "1.3.6.1.5.5.7.8.10");
    let length = u8::try_from(name.len()).unwrap();
    let expected = [&[0xa0, length + 2, 0x16, length][..], name.as_bytes()].concat();
    assert_eq!(value, &expected.as_slice());
}

#[test]
fn a_name_that_is_none_in_the_dns_is_left_out_there() {
    let domain: Domain = "acp.example.com".parse().unwrap();
    for (node, dns) in [
        ("north", Some("north.acp.example.com")),
        ("7.north", Some("7.north.acp.example.com")),
        ("a_b", None),
        ("..", None),
        ("-a", None),
        ("a.", None),
    ] {
        assert_eq!(node.parse::<NodeName>().unwrap().in_dns(&domain).as_deref(), dns, "{node}");
        let (authority, _) = founded("acp.example.com");
        let issued = authority.issue(&request(node, "0@acp.example.com")).unwrap();
        let [Item::Certificate(read)] = &inspect(&issued.certificate).unwrap()[..] else { panic!() };
        assert_eq!(read.dns, dns.map(str::to_owned).into_iter().collect::<Vec<_>>());
        assert_eq!(verify::chain(&issued.certificate, authority.certificate(), None, now()), Ok(()));
    }
}

#[test]
fn a_certificate_verifies_against_its_own_authority_and_in_its_time_only() {
    let (authority, _) = founded("acp.example.com");
    let (other, _) = founded("acp.example.com");
    let issued = authority.issue(&request("north", "0@acp.example.com")).unwrap();
    let check = |anchors: &str, at| verify::chain(&issued.certificate, anchors, None, at).map_err(|e| e.to_string());
    assert_eq!(check(authority.certificate(), now()), Ok(()));
    let both = format!("{}{}", other.certificate(), authority.certificate());
    assert_eq!(check(&both, now()), Ok(()));
    assert!(check(other.certificate(), now()).is_err());
    assert!(check(authority.certificate(), now() + Duration::days(366)).unwrap_err().contains("expired"));
    assert!(check(authority.certificate(), now() - Duration::days(1)).unwrap_err().contains("not valid yet"));
    // The authority itself, and one that only says so.
    assert_eq!(verify::chain(authority.certificate(), &both, None, now()), Ok(()));
    assert!(verify::chain(authority.certificate(), other.certificate(), None, now()).is_err());
    // A certificate cannot stand in for an authority.
    assert!(verify::chain(&issued.certificate, &issued.certificate, None, now() + Duration::days(366)).is_err());
}

/// RFC 5280, section 5.1
#[test]
fn a_revoked_certificate_verifies_no_more_and_a_list_that_is_out_of_date_vouches_for_nothing() {
    let (authority, _) = founded("acp.example.com");
    let (other, _) = founded("acp.example.org");
    let issued = authority.issue(&request("north", "0@acp.example.com")).unwrap();
    let check = |list: &str, at| {
        verify::chain(&issued.certificate, authority.certificate(), Some(list), at).map_err(|error| error.to_string())
    };
    let empty = list(&authority, 1, &[], 30);
    assert_eq!(check(&empty, now()), Ok(()));
    assert!(check(&empty, now() + Duration::days(31)).unwrap_err().contains("out of date"));
    let with = list(&authority, 2, &[serial(7), serial(0xab)], 30);
    assert_eq!(check(&with, now()).unwrap_err(), "it is revoked");
    assert_eq!(check(&list(&authority, 3, &[serial(7)], 30), now()), Ok(()));
    assert!(check(&list(&other, 1, &[], 30), now()).is_err());
    // The list says what it should, and who signed it.
    let [Item::Revocations(read)] = &inspect(&with).unwrap()[..] else { panic!() };
    assert_eq!((read.number.as_deref(), read.until), (Some("2"), Some(now() + Duration::days(30))));
    assert_eq!(read.revoked, [(serial(7).to_string(), now()), (serial(0xab).to_string(), now())]);
    assert_eq!(verify::revocations(&with, authority.certificate()), Ok(()));
    assert!(verify::revocations(&with, other.certificate()).is_err());
    let [Item::Revocations(large)] = &inspect(&list(&authority, u64::MAX, &[], 1)).unwrap()[..] else { panic!() };
    assert_eq!(large.number.as_deref(), Some("ffffffffffffffff"));
}

#[test]
fn an_authority_is_taken_up_again_only_with_its_own_key_and_domain() {
    let (authority, key) = founded("acp.example.com");
    let (_, foreign) = founded("acp.example.com");
    let domain = || "acp.example.com".parse::<Domain>().unwrap();
    let again = Authority::load(domain(), authority.certificate(), &key).unwrap();
    let issued = again.issue(&request("north", "0@acp.example.com")).unwrap();
    assert_eq!(
        verify::chain(&issued.certificate, authority.certificate(), Some(&list(&again, 1, &[], 1)), now()),
        Ok(())
    );
    assert_eq!(again.validity(), days(3650));
    let load = |domain: &str, certificate: &str, key: &str| {
        Authority::load(domain.parse().unwrap(), certificate, key).map(drop).unwrap_err().to_string()
    };
    assert!(load("acp.example.com", authority.certificate(), &foreign).contains("does not belong"));
    assert!(load("acp.example.org", authority.certificate(), &key).contains("this domain needs"));
    assert!(load("acp.example.com", &issued.certificate, &issued.key).contains("is none of an authority"));
    assert!(load("acp.example.com", &key, &key).contains("exactly one certificate"));
    assert!(load("acp.example.com", authority.certificate(), authority.certificate()).contains("neither"));
    assert!(load("acp.example.com", authority.certificate(), "").contains("no block"));
    let sec1 = key.replace("PRIVATE KEY", "EC PRIVATE KEY");
    assert!(load("acp.example.com", authority.certificate(), &sec1).contains("PKCS#8"));
    // What is said of a damaged key does not quote it.
    let line = key.lines().nth(1).unwrap().to_owned();
    let spoilt = key.replace(&line, &line.chars().rev().collect::<String>());
    assert!(!load("acp.example.com", authority.certificate(), &spoilt).contains(&line[..8]));
}

#[test]
fn a_certificate_is_refused_that_outlives_the_authority_or_is_of_another_domain() {
    let (authority, _) = founded("acp.example.com");
    let issue = |change: fn(&mut Request)| {
        let mut request = request("north", "0@acp.example.com");
        change(&mut request);
        authority.issue(&request).map(drop)
    };
    assert_eq!(issue(|request| request.validity = days(3650)), Ok(()));
    assert!(matches!(issue(|request| request.validity = days(3651)), Err(Error::Validity(_))));
    assert!(matches!(issue(|request| request.validity = days(0)), Err(Error::Validity(_))));
    let early = |request: &mut Request| request.validity.from = now() - Duration::days(1);
    assert!(matches!(issue(early), Err(Error::Validity(_))));
    let foreign = |request: &mut Request| request.name = "0@acp.example.org".parse().unwrap();
    assert!(matches!(issue(foreign), Err(Error::Certificate(_))));
    assert!(Authority::create("a".parse().unwrap(), serial(1), days(-1)).is_err());
    assert!(
        Authority::create(
            "a".parse().unwrap(),
            serial(1),
            Validity { from: now() - Duration::days(30_000), until: now() }
        )
        .is_err()
    );
}

#[test]
fn the_same_key_is_certified_again_only_from_a_certificate_of_this_authority() {
    let (authority, _) = founded("acp.example.com");
    let (other, _) = founded("acp.example.com");
    let old = authority.issue(&request("north", "0@acp.example.com")).unwrap();
    let next = Request { serial: serial(0xcd), ..request("north", "0@acp.example.com") };
    let new = authority.renew(&next, &old.certificate).unwrap();
    let kinds = [&old.certificate, &new, &*old.key].map(|pem| inspect(pem).unwrap().remove(0));
    let [Item::Certificate(old_read), Item::Certificate(new_read), Item::Key(key)] = &kinds else { panic!() };
    assert_eq!((&old_read.key_fingerprint, &new_read.key_fingerprint), (&key.key_fingerprint, &key.key_fingerprint));
    assert_ne!((&old_read.serial, &old_read.fingerprint), (&new_read.serial, &new_read.fingerprint));
    assert_eq!(verify::chain(&new, authority.certificate(), None, now()), Ok(()));
    assert!(other.renew(&next, &old.certificate).is_err());
    let south = request("south", "0@acp.example.com");
    assert!(authority.renew(&south, &old.certificate).unwrap_err().to_string().contains("not that of the node"));
}

#[test]
fn what_falls_short_of_a_node_is_told() {
    let (authority, _) = founded("acp.example.com");
    let [Item::Certificate(read)] = &inspect(authority.certificate()).unwrap()[..] else { panic!() };
    assert!(read.authority && read.shortcomings.is_empty(), "{read:?}");
    let plain = rcgen::generate_simple_self_signed(vec!["www.example.com".to_owned()]).unwrap().cert.pem();
    let [Item::Certificate(read)] = &inspect(&plain).unwrap()[..] else { panic!() };
    assert!(read.shortcomings.iter().any(|short| short.contains("no acp-node-name")), "{read:?}");
    // An otherName that is UTF8String, as rcgen writes it, is no acp-node-name.
    let mut params = rcgen::CertificateParams::default();
    let name = rcgen::SanType::OtherName((vec![1, 3, 6, 1, 5, 5, 7, 8, 10], "0@acp.example.com".into()));
    params.subject_alt_names = vec![name];
    let wrong = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    let [Item::Certificate(read)] = &inspect(&wrong).unwrap()[..] else { panic!() };
    assert!(matches!(&read.acp_node_name, Some(Err(error)) if error.to_string().contains("no IA5String")), "{read:?}");
    for text in
        ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\n"]
    {
        assert!(inspect(text).is_err(), "{text}");
    }
}

/// RFC 8994, section 6.2.2; RFC 1034, section 3.5
#[test]
fn names_follow_their_grammar() {
    let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
    for good in ["a", "acp.example.com", "A.b-c.d9", &"a".repeat(63), &long] {
        assert_eq!(good.parse::<Domain>().unwrap().as_str(), good.to_lowercase());
    }
    let longer = format!("{long}d");
    for bad in [
        "",
        " ",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "9a",
        "a.9",
        "a_b",
        "a b",
        "a/b",
        "../a",
        "ä",
        "a\n",
        "a\0",
        "a@b",
        &"a".repeat(64),
        &longer,
    ] {
        assert!(bad.parse::<Domain>().is_err(), "{bad:?}");
        assert!(bad.parse::<asa_authority::Rsub>().is_err(), "{bad:?}");
    }
    for good in [
        "fd89b714f3db00000200000064000000+area51.research@acp.example.com",
        "0@a",
        "@a",
        "0+b@a",
        "+b@a",
        "++x@a",
        "0++x=1+y!@a",
        "+b+x@a",
    ] {
        assert_eq!(good.parse::<AcpNodeName>().unwrap().to_string(), good);
    }
    for bad in [
        "",
        "0",
        "a",
        "0@",
        "00@a",
        "1@a",
        "fd89@a",
        "g89b714f3db000002000000640000000@a",
        "0@a@b",
        "0+9@a",
        "0+b+@a",
        "0+b+x@",
        "0+b+ @a",
        "0@9",
        "+0@a",
        "0+b++x@a",
    ] {
        assert!(bad.parse::<AcpNodeName>().is_err(), "{bad:?}");
    }
    let upper = "FD89B714F3DB00000200000064000000@ACP.example".parse::<AcpNodeName>().unwrap();
    assert_eq!(upper.to_string(), "fd89b714f3db00000200000064000000@acp.example");
    for bad in ["", "a/b", "../a", "a b", "ä", "a\0", "a\n", "a\\b", &"a".repeat(64)] {
        assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
    }
}

#[test]
fn serial_numbers_are_positive_and_read_in_the_forms_in_which_they_are_shown() {
    for octets in [[0; 16], [0xff; 16]] {
        let serial = Serial::from_random(octets);
        let text = serial.to_string();
        assert!(text.len() == 32 && ('4'..='7').contains(&text.chars().next().unwrap()), "{text}");
        let pairs: Vec<&str> = (0..16).map(|at| &text[2 * at..2 * at + 2]).collect();
        for form in [text.clone(), text.to_uppercase(), pairs.join(":")] {
            assert_eq!(form.parse::<Serial>().unwrap(), serial);
        }
        for bad in
            [&text[1..], &format!("{text}0"), "", ":", &text.replace(&text[..1], "f"), &format!("+{}", &text[1..])]
        {
            assert!(bad.parse::<Serial>().is_err(), "{bad}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_name_of_a_node_comes_back_from_its_certificate(
        node in "[A-Za-z0-9._-]{1,63}",
        address in proptest::option::of(any::<u128>()),
        rsub in proptest::option::of("[a-z][a-z0-9]{0,60}(\\.[a-z]([a-z0-9-]{0,60}[a-z0-9])?){0,2}"),
        domain in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z]([a-z0-9-]{0,61}[a-z0-9])?){0,2}",
        octets in any::<[u8; 16]>(),
    ) {
        let domain: Domain = domain.parse().unwrap();
        let (authority, _) = Authority::create(domain.clone(), serial(1), days(3650)).unwrap();
        let name = AcpNodeName::new(address.map(Into::into), rsub.map(|rsub| rsub.parse().unwrap()), domain);
        let (node, serial) = (node.parse::<NodeName>().unwrap(), Serial::from_random(octets));
        let request = Request { node: node.clone(), name: name.clone(), serial, validity: days(365) };
        let issued = authority.issue(&request).unwrap();
        let items = inspect(&issued.certificate).unwrap();
        let [Item::Certificate(read)] = &items[..] else { panic!() };
        prop_assert_eq!(read.common_name.as_deref(), Some(node.as_str()));
        prop_assert_eq!(read.acp_node_name.as_ref(), Some(&Ok(name)));
        prop_assert_eq!(&read.serial, &serial.to_string());
        prop_assert!(read.shortcomings.is_empty(), "{:?}", read.shortcomings);
        prop_assert_eq!(verify::chain(&issued.certificate, authority.certificate(), None, now()), Ok(()));
    }

    #[test]
    fn what_is_read_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,80}") {
        use std::fmt::Write as _;
        let mut hex = String::new();
        bytes.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
        let _ = (text.parse::<AcpNodeName>(), text.parse::<Serial>(), hex.parse::<Serial>(), inspect(&text));
    }
}
