//! Another implementation reads what `asa keys` makes, and the other way round.

use std::process::{Command, Stdio};

use super::Place;

/// RFC 8994, section 6.2.2.1; RFC 5280. Another implementation reads and verifies what was made.
#[test]
fn openssl_agrees() {
    let openssl = |place: &Place, line: &str| {
        let mut command = Command::new("openssl");
        command.args(line.split(' ')).current_dir(place.0.path()).stdin(Stdio::null()).output().ok()
    };
    let place = Place::founded();
    let Some(version) = openssl(&place, "version") else {
        eprintln!("openssl is not installed: skipped");
        return;
    };
    assert!(version.status.success());
    let run = |line: &str| {
        let output = openssl(&place, line).unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    };
    place.done("issue north --dir ca --address fd89:b714:f3db::1");
    place.done("issue south --dir ca");
    let check = |node: &str| {
        run(&format!(
            "verify -x509_strict -CAfile ca/domain.crt -crl_check -CRLfile ca/revoked.crl -purpose sslserver {node}/{node}.crt"
        ))
    };
    for node in ["north", "south"] {
        let (good, text) = check(node);
        assert!(good, "{text}");
    }
    place.done("revoke south --dir ca");
    assert!(check("north").0);
    let (good, text) = check("south");
    assert!(!good && text.contains("revoked"), "{text}");
    let (_, text) = run("x509 -in north/north.crt -noout -text");
    for part in [
        "CN = north",
        "1.3.6.1.5.5.7.8.10",
        "DNS:north.acp.example.com",
        "Digital Signature, Key Agreement",
        "prime256v1",
    ] {
        assert!(text.replace("CN=", "CN = ").contains(part), "{part} is not in {text}");
    }
    // The content of the extension is the OCTET STRING after its name.
    let (_, text) = run("asn1parse -in north/north.crt");
    let mut lines = text.lines().skip_while(|line| !line.contains("X509v3 Subject Alternative Name"));
    let content = lines.find(|line| line.contains("OCTET STRING")).unwrap();
    let offset = content.split(':').next().unwrap().trim();
    let (_, text) = run(&format!("asn1parse -in north/north.crt -strparse {offset}"));
    let name = text.lines().find(|line| line.contains("IA5STRING")).unwrap_or_else(|| panic!("no IA5STRING in {text}"));
    assert!(name.ends_with(":fd89b714f3db00000000000000000001@acp.example.com"), "{text}");
    let (_, text) = run("x509 -in north/north.crt -noout -ext subjectAltName");
    assert!(text.contains("fd89b714f3db00000000000000000001@acp.example.com"), "{text}");
    let (good, text) = run("pkey -in north/north.key -noout -check");
    assert!(good, "{text}");
    let (_, text) = run("crl -in ca/revoked.crl -noout -text");
    assert!(text.contains("X509v3 CRL Number") && text.contains("X509v3 Authority Key Identifier"), "{text}");
}

/// What docs/keys.md says of a real PKI: a chain in the certificate file, several anchors, an otherName made with openssl.
#[test]
fn certificates_of_another_pki_are_understood() {
    let place = Place::founded();
    let run = |line: &str| {
        let mut command = Command::new("openssl");
        let output = command.args(line.split(' ')).current_dir(place.0.path()).stdin(Stdio::null()).output().ok()?;
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Some(())
    };
    if run("version").is_none() {
        eprintln!("openssl is not installed: skipped");
        return;
    }
    place.write("ca.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n");
    let name = "subjectAltName=otherName:1.3.6.1.5.5.7.8.10;IA5STRING:0+b@acp.example.com\n";
    place.write("node.ext", &format!("{name}keyUsage=digitalSignature\nextendedKeyUsage=clientAuth,serverAuth\n"));
    place.write("utf8.ext", &name.replace("IA5STRING", "UTF8"));
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    run(&format!("{request} -x509 -days 9 -keyout root.key -out root.crt -subj /CN=root")).unwrap();
    run(&format!("{request} -keyout mid.key -out mid.csr -subj /CN=middle")).unwrap();
    run("x509 -req -in mid.csr -CA root.crt -CAkey root.key -CAcreateserial -extfile ca.ext -out mid.crt -days 9")
        .unwrap();
    run("req -new -newkey rsa:2048 -nodes -keyout n.key -out n.csr -subj /CN=north").unwrap();
    for extensions in ["node", "utf8"] {
        let sign = "x509 -req -in n.csr -CA mid.crt -CAkey mid.key -CAcreateserial -days 9";
        run(&format!("{sign} -extfile {extensions}.ext -out {extensions}.crt")).unwrap();
    }
    place.write("chain.crt", &(place.read("node.crt") + &place.read("mid.crt")));
    place.write("anchors.crt", &(place.read("ca/domain.crt") + &place.read("root.crt")));
    let (code, shown) = place.show("chain.crt n.key --anchors anchors.crt");
    assert_eq!(code, 0, "{shown}");
    let files = shown["files"].as_array().unwrap();
    let node = &files[0]["items"][0];
    assert_eq!((&node["acp_node_name"], &node["rsub"]), (&"0+b@acp.example.com".into(), &"b".into()));
    assert_eq!((&files[0]["items"][1]["authority"], &files[0]["verified"]), (&true.into(), &true.into()));
    assert_eq!((&node["key"], &files[1]["items"][0]["key_sha256"]), (&"RSA 2048".into(), &node["key_sha256"]));
    // Without what is between, or without its anchor, nobody vouches.
    assert_eq!(place.show("node.crt --anchors anchors.crt").0, 1);
    assert_eq!(place.show("chain.crt --anchors ca/domain.crt").0, 1);
    let (_, shown) = place.show("utf8.crt");
    assert!(shown["files"][0]["warnings"].to_string().contains("no IA5String"), "{shown}");
    // The old form of a key, and an encrypted one.
    run("pkey -in mid.key -traditional -out sec1.key").unwrap();
    run("pkey -in mid.key -aes256 -passout pass:x -out locked.key").unwrap();
    for (key, why) in [("sec1.key", "openssl pkcs8 -topk8"), ("locked.key", "is encrypted")] {
        let (code, shown) = place.show(key);
        assert!(code == 1 && shown["files"][0]["faults"].to_string().contains(why), "{shown}");
    }
}
