//! The keys of the GRASP instance.

use super::kind::Kind;
use super::shape::Shape;

const HOUR_MS: i64 = 3_600_000;
const MILLION: i64 = 1_000_000;
const ANY_U32: i64 = 4_294_967_295;
const BOOLEAN: Shape = Shape::Leaf(Kind::Boolean);

const fn integer(min: i64, max: i64) -> Shape {
    Shape::Leaf(Kind::Integer { min, max })
}

/// Returns the keys of the GRASP instance of a node.
pub(super) fn grasp() -> Shape {
    Shape::table([
        (
            "substrate",
            "Who protects the messages. \"tls\": mutual TLS with the certificates of a domain, the only choice for a real \
             network. \"quads\": a key that all share, compatible with graspy, without integrity. \"insecure-lab\": nobody; \
             everybody on the link can read, forge and replay every message, right for a laboratory or a demonstration and \
             for nothing else. \"none\" makes the node refuse to speak.",
            Shape::Leaf(Kind::Choice(&["none", "insecure-lab", "quads", "tls"])),
        ),
        ("interfaces", "The interfaces to speak on; --interface replaces the list.", Shape::Leaf(Kind::Interfaces)),
        (
            "port",
            "The UDP and TCP port. 7017 is assigned to GRASP, and multicasts go to it; 0 takes any free port.",
            integer(0, 65_535),
        ),
        (
            "relay",
            "Whether discovery and floods are relayed between the interfaces, as a node with several of them must.",
            BOOLEAN,
        ),
        (
            "experimental_objectives",
            "Whether the objectives EX0 to EX9, which are reserved for experiments, may be used.",
            BOOLEAN,
        ),
        (
            "link_local_locators",
            "Whether locators that are given away may be link-local addresses. A link in a laboratory often has no others.",
            BOOLEAN,
        ),
        (
            "internal_nat4",
            "Whether IPv4 addresses of internal networks may be locators. Off, because GRASP is at home on IPv6.",
            BOOLEAN,
        ),
        (
            "domain_prefix",
            "The prefix of the domain's addresses, such as \"2001:db8::/32\"; empty accepts every address.",
            Shape::Leaf(Kind::Prefix),
        ),
        (
            "default_timeout_ms",
            "How long a reply may take where nothing else is said, in milliseconds; the protocol's own default.",
            integer(100, ANY_U32),
        ),
        (
            "wait_cap_ms",
            "The longest time that a peer may keep us waiting in a negotiation, in milliseconds. 0 lets it ask for any \
             time, as the protocol does; then a peer that never comes back holds a session for weeks.",
            integer(0, ANY_U32),
        ),
        (
            "session_cap_ms",
            "The longest time that a negotiation may take as a whole, in milliseconds; 0 sets no limit.",
            integer(0, ANY_U32),
        ),
        ("quads", "The key of the group, for the substrate \"quads\".", quads()),
        ("tls", "The credentials of this node in its domain, for the substrate \"tls\": PEM files.", tls()),
        (
            "dull",
            "The DULL instances: GRASP confined to one link, before anybody is authenticated, with tables of its own.",
            dull(),
        ),
        (
            "authorization",
            "Which members may do what, for the substrate \"tls\": by objective, lists of certificate names under discover, \
             request, answer and flood, such as \"EX3\" = { request = [\"gray*\"] }. A * stands for any characters; what is \
             not said is allowed to every member.",
            Shape::Leaf(Kind::Authorization),
        ),
        ("limits", "What a peer can use up at most.", limits()),
    ])
}

fn quads() -> Shape {
    Shape::table([(
        "key",
        "Where the password or graspy's key file is read from: \"file:/path\", \"credential:NAME\" of systemd, \"fd:NUMBER\" or \
         \"prompt\". Never the key itself, which would be in every copy of this file.",
        Shape::Leaf(Kind::SecretSource),
    )])
}

fn tls() -> Shape {
    const PATH: Shape = Shape::Leaf(Kind::Path { max: 4095 });
    Shape::table([
        (
            "certificate",
            "The certificate of this node, then those between it and an anchor; asa keys issue makes one.",
            PATH,
        ),
        (
            "key",
            "Its private key: a path that nobody but the node's own user may read, or \"credential:NAME\" of systemd.",
            Shape::Leaf(Kind::SecretFile),
        ),
        ("anchors", "The trust anchors of the domain.", PATH),
        ("revocations", "The revocation list of the domain; empty revokes nothing.", PATH),
        ("warn_days", "How many days before it ends a certificate is warned of.", integer(0, 3650)),
        (
            "look_every_ms",
            "How often the files are looked at for a change, in milliseconds; 0 waits for asa reload.",
            integer(0, 24 * HOUR_MS),
        ),
    ])
}

fn dull() -> Shape {
    Shape::table([
        (
            "enabled",
            "Whether each interface has a DULL instance. The substrate \"tls\" finds its neighbours by it and has one in any \
             case.",
            BOOLEAN,
        ),
        (
            "objectives",
            "The objectives that are heard and said there; all others are dropped in silence, since anybody on the link can \
             send them.",
            Shape::Leaf(Kind::Resources),
        ),
    ])
}

fn limits() -> Shape {
    Shape::table([
        (
            "message_size",
            "The largest message in bytes; the protocol's own default, and every peer accepts it.",
            integer(2048, 65_535),
        ),
        ("depth", "The deepest nesting inside a message; real objectives need less than half.", integer(4, 64)),
        (
            "sessions",
            "Negotiations and synchronizations open at once, a quarter of them with one peer; at most three quarters of \
             the open files allowed.",
            integer(1, MILLION),
        ),
        (
            "connections",
            "Connections that have not asked for anything yet; the oldest makes room. At most an eighth of the open files \
             allowed.",
            integer(1, MILLION),
        ),
        (
            "first_message_timeout_ms",
            "How long an accepted connection may stay silent, in milliseconds, before it is closed.",
            integer(100, HOUR_MS),
        ),
        ("asas", "Agents registered at once.", integer(1, 10_000)),
        ("objectives", "Objectives registered at once.", integer(1, MILLION)),
        ("discovery_cache", "Locators remembered from discovery.", integer(1, MILLION)),
        ("flood_cache", "Names of flooded objectives remembered.", integer(1, MILLION)),
        (
            "flood_values_per_name",
            "Values remembered for one flooded name, from different origins.",
            integer(1, 10_000),
        ),
        (
            "flood_bytes",
            "Bytes of all floods remembered together; the oldest make room.",
            integer(65_536, 1_073_741_824),
        ),
        (
            "request_queue",
            "Requests that wait for one agent; more are refused at once, so that their senders can look elsewhere.",
            integer(1, 10_000),
        ),
        (
            "relay_per_second",
            "Messages relayed each second on one interface, on average; stops a storm from spreading.",
            integer(1, MILLION),
        ),
        ("relay_burst", "Messages relayed at once before the average applies.", integer(1, MILLION)),
        (
            "flood_interval_ms",
            "The average time between our floods of one objective, in milliseconds.",
            integer(0, HOUR_MS),
        ),
        ("flood_burst", "Floods of one objective sent at once before the average applies.", integer(1, 10_000)),
        ("seen", "Messages remembered so that each is relayed once only.", integer(16, 16 * MILLION)),
    ])
}
