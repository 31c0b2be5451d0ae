//! A domain of its own for a test: made with `asa keys`, as an operator would.

use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const ASA: &str = env!("CARGO_BIN_EXE_asa");

/// A domain with its authority in a temporary directory.
pub(super) struct Domain(tempfile::TempDir);

impl Domain {
    pub(super) fn new(name: &str) -> Self {
        let domain = Self(tempfile::tempdir().unwrap());
        domain.keys(&["init-domain", name]);
        domain
    }

    /// `asa keys ... --dir AUTHORITY`.
    pub(super) fn keys(&self, args: &[&str]) -> String {
        let authority = self.0.path().join("authority");
        let output = Command::new(ASA).arg("keys").args(args).arg("--dir").arg(&authority).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {text}");
        text
    }

    /// A member's directory: its certificate, its key, the anchor, the revocation list.
    pub(super) fn member(&self, name: &str) -> Member {
        let directory = self.0.path().join(name);
        self.keys(&["issue", name, "--out", directory.to_str().unwrap()]);
        Member { name: name.to_owned(), directory }
    }

    /// Carries the revocation list of the authority to a member.
    pub(super) fn carry_revocations(&self, to: &Member) {
        replace(&self.0.path().join("authority/revoked.crl"), &to.directory.join("revoked.crl"));
    }
}

/// Puts a file in another's place, at once as whoever carries it should.
fn replace(from: &Path, to: &Path) {
    let beside = to.with_extension("new");
    std::fs::copy(from, &beside).unwrap();
    std::fs::rename(&beside, to).unwrap();
}

/// One member's files.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) directory: PathBuf,
}

impl Member {
    /// What the manifest of its node says, as assignments.
    pub(super) fn settings(&self) -> Vec<String> {
        let file = |name: &str| self.directory.join(name).display().to_string();
        vec![
            "grasp.substrate=tls".to_owned(),
            format!("grasp.tls.certificate={}", file(&format!("{}.crt", self.name))),
            format!("grasp.tls.key={}", file(&format!("{}.key", self.name))),
            format!("grasp.tls.anchors={}", file("domain.crt")),
            format!("grasp.tls.revocations={}", file("revoked.crl")),
            "grasp.tls.look_every_ms=300".to_owned(),
        ]
    }

    /// A manifest with nothing but its membership.
    pub(super) fn manifest(&self) -> PathBuf {
        let path = self.directory.join("member.toml");
        let mut text = String::from("[grasp]\nsubstrate = \"tls\"\n[grasp.tls]\n");
        for (key, file) in [
            ("certificate", format!("{}.crt", self.name)),
            ("key", format!("{}.key", self.name)),
            ("anchors", "domain.crt".to_owned()),
            ("revocations", "revoked.crl".to_owned()),
        ] {
            text.push_str(&format!("{key} = {:?}\n", self.directory.join(file).to_str().unwrap()));
        }
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Domain {
    /// Gives a member a certificate that is valid from an hour from now on only.
    pub(super) fn date_forward(&self, member: &Member) {
        let file = |name: &str| std::fs::read_to_string(self.0.path().join("authority").join(name)).unwrap();
        let domain: asa_authority::Domain = "acp.example.com".parse().unwrap();
        let authority =
            asa_authority::Authority::load(domain.clone(), &file("domain.crt"), &file("domain.key")).unwrap();
        let hour = time::Duration::hours(1);
        let now = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap();
        let issued = authority
            .issue(&asa_authority::Request {
                node: member.name.parse().unwrap(),
                name: asa_authority::AcpNodeName::new(None, None, domain),
                serial: asa_authority::Serial::from_random([7; 16]),
                validity: asa_authority::Validity { from: now + hour, until: now + hour + hour },
            })
            .unwrap();
        std::fs::write(member.directory.join(format!("{}.key", member.name)), issued.key.as_bytes()).unwrap();
        std::fs::write(member.directory.join(format!("{}.crt", member.name)), &issued.certificate).unwrap();
    }
}
