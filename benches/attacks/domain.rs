//! A domain with two members that are attacked and one that lies, and another domain.

use asa_authority::{AcpNodeName, Authority, Request, Serial, Validity};
use grasp::substrate::tls::{Credentials, Settings, TlsSubstrate};
use grasp::substrate::{InsecureLab, Substrate};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use time::{Duration, OffsetDateTime};

fn serial(n: u8) -> Serial {
    Serial::from_random([n; 16])
}

/// Writes certificates and keys of both domains.
pub(crate) fn found(directory: &Path) {
    let now = OffsetDateTime::now_utc();
    let validity = Validity { from: now - Duration::HOUR, until: now + Duration::DAY };
    for (domain, names) in
        [("acp.example.com", &["server", "client", "liar"][..]), ("other.example.com", &["stranger"])]
    {
        let (authority, _) = Authority::create(domain.parse().unwrap(), serial(1), validity).unwrap();
        for (n, name) in (2..).zip(names) {
            let node = AcpNodeName::new(None, None, domain.parse().unwrap());
            let request = Request { node: name.parse().unwrap(), name: node, serial: serial(n), validity };
            let issued = authority.issue(&request).unwrap();
            std::fs::write(directory.join(format!("{name}.crt")), issued.certificate).unwrap();
            std::fs::write(directory.join(format!("{name}.key")), issued.key.as_bytes()).unwrap();
            std::fs::write(directory.join(format!("{name}.ca")), authority.certificate()).unwrap();
        }
    }
}

/// The substrate of one of them.
pub(crate) fn substrate(kind: &str, directory: &str, name: &str) -> Arc<dyn Substrate> {
    if kind == "insecure-lab" {
        return Arc::new(InsecureLab);
    }
    let read = |ending: &str| std::fs::read(Path::new(directory).join(format!("{name}.{ending}"))).unwrap();
    let credentials = Credentials::from_pem(&read("crt"), &read("key"), &read("ca"), None, SystemTime::now()).unwrap();
    Arc::new(TlsSubstrate::new(credentials, Settings::default()).unwrap())
}
