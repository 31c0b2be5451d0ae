//! Registered ASAs and objectives: RFC 8991 §2.3.3.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use grasp::error::ErrorCode;
use grasp::protocol::registry::{Registration, Registry, RegistryLimits};
use grasp::protocol::{AsaHandle, Rapid};
use grasp::wire::{Flags, Objective, Value};

fn registry_with(limits: RegistryLimits) -> Registry {
    let mut n = 0x9e37_79b9u32;
    Registry::new(limits, move || {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        n
    })
}

fn registry() -> Registry {
    registry_with(RegistryLimits::default())
}

fn overlapping() -> Registration {
    Registration { overlap: true, ..Registration::default() }
}

fn synch(name: &str) -> Objective {
    Objective::synchronization(name)
}

fn one(n: u64) -> Value {
    Value::item(&n).unwrap()
}

/// A-REG-01: nothing works with a handle that was never given out.
#[test]
fn unknown_handle_is_refused_everywhere() {
    let mut r = registry();
    let nobody = AsaHandle(77);
    let objective = synch("a:x");
    assert_eq!(r.name(nobody).unwrap_err().code, ErrorCode::NoAsa);
    assert_eq!(r.deregister_asa(nobody, "x").unwrap_err().code, ErrorCode::NoAsa);
    assert_eq!(r.register_objective(nobody, &objective, Registration::default()).unwrap_err().code, ErrorCode::NoAsa);
    assert_eq!(r.deregister_objective(nobody, "a:x").unwrap_err().code, ErrorCode::NoAsa);
    assert_eq!(r.registered(nobody, "a:x").unwrap_err().code, ErrorCode::NoAsa);
    assert_eq!(r.listen(nobody, "a:x", true).unwrap_err().code, ErrorCode::NoAsa);
    assert_eq!(r.serve(nobody, &objective).unwrap_err().code, ErrorCode::NoAsa);
}

/// A-REG-02, A-REG-11: an ASA's name is unique in the node; a nameless one is refused.
#[test]
fn asa_name_is_unique() {
    let mut r = registry();
    let first = r.register_asa("x").unwrap();
    assert_eq!(r.register_asa("x").unwrap_err().code, ErrorCode::DuplicateAsa);
    assert_eq!(r.register_asa("").unwrap_err().code, ErrorCode::Unspecified);
    r.deregister_asa(first, "x").unwrap();
    r.register_asa("x").unwrap();
}

/// A-REG-02, G-RATE-06: a full registry says so, and takes the next ASA once there is room.
#[test]
fn full_registry_refuses_asas() {
    let mut r = registry_with(RegistryLimits { asas: 2, ..RegistryLimits::default() });
    let first = r.register_asa("a").unwrap();
    r.register_asa("b").unwrap();
    assert_eq!(r.register_asa("c").unwrap_err().code, ErrorCode::AsaFull);
    r.deregister_asa(first, "a").unwrap();
    r.register_asa("c").unwrap();
}

/// A-REG-02, T-58: handles are what the generator drew, never 0 and never one in use.
#[test]
fn handles_are_drawn_and_neither_zero_nor_in_use() {
    let mut draws = [0, 8, 8, 0, 3].into_iter();
    let mut r = Registry::new(RegistryLimits::default(), move || draws.next().unwrap());
    assert_eq!(r.register_asa("a").unwrap(), AsaHandle(8));
    assert_eq!(r.register_asa("b").unwrap(), AsaHandle(3));
}

/// A-REG-05: a handle with another name is refused and changes nothing.
#[test]
fn deregistration_needs_handle_and_name() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    r.register_asa("b").unwrap();
    r.register_objective(a, &synch("o"), Registration::default()).unwrap();
    assert_eq!(r.deregister_asa(a, "b").unwrap_err().code, ErrorCode::NotYourAsa);
    assert_eq!(r.name(a).unwrap(), "a");
    assert!(r.registered(a, "o").is_ok());
}

/// A-REG-03, A-REG-04: with an ASA go its objectives, listeners and values, and nobody else's.
#[test]
fn deregistration_removes_everything_of_the_asa() {
    let mut r = registry();
    let (a, b) = (r.register_asa("a").unwrap(), r.register_asa("b").unwrap());
    r.register_objective(a, &synch("mine"), Registration::default()).unwrap();
    r.register_objective(a, &Objective::negotiation("deal"), Registration::default()).unwrap();
    r.register_objective(a, &synch("shared"), overlapping()).unwrap();
    r.register_objective(b, &synch("shared"), overlapping()).unwrap();
    r.serve(a, &synch("mine").with_value(one(1))).unwrap();
    r.serve(a, &synch("shared").with_value(one(2))).unwrap();
    r.serve(b, &synch("shared").with_value(one(3))).unwrap();
    r.listen(a, "deal", true).unwrap();
    let mut gone = r.deregister_asa(a, "a").unwrap();
    gone.sort();
    assert_eq!(gone, ["deal", "mine", "shared"]);
    assert!(r.announcement("mine").is_none() && r.announcement("deal").is_none());
    assert!(r.served("mine").is_none() && !r.negotiates("deal") && r.registration("mine").is_none());
    assert_eq!(r.served("shared").unwrap().value, Some(one(3)));
    assert_eq!(r.announcement("shared").unwrap().asas, [b].into());
    assert_eq!(r.name(a).unwrap_err().code, ErrorCode::NoAsa);
    assert_eq!(r.asas().count(), 1);
}

/// A-REG-06, A-REG-15: only what one has registered oneself can be used; the code tells why.
#[test]
fn foreign_and_unknown_objectives_are_refused() {
    let mut r = registry();
    let (a, b) = (r.register_asa("a").unwrap(), r.register_asa("b").unwrap());
    r.register_objective(a, &synch("o"), Registration::default()).unwrap();
    for (name, code) in [("o", ErrorCode::NotYourObjective), ("p", ErrorCode::NotObjective)] {
        assert_eq!(r.registered(b, name).unwrap_err().code, code);
        assert_eq!(r.listen(b, name, true).unwrap_err().code, code);
        assert_eq!(r.serve(b, &synch(name)).unwrap_err().code, code);
        assert_eq!(r.deregister_objective(b, name).unwrap_err().code, code);
    }
    r.deregister_objective(a, "o").unwrap();
    assert!(r.announcement("o").is_none() && r.registration("o").is_none());
    assert_eq!(r.deregister_objective(a, "o").unwrap_err().code, ErrorCode::NotObjective);
}

/// G-OBJ-07, T-09: the flags of a registration are sane.
#[test]
fn impossible_kinds_are_refused() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    let flags = |bits: u64| Objective { flags: Flags(bits), ..Objective::discovery("o") };
    for (bits, code) in
        [(7, ErrorCode::NotBoth), (9, ErrorCode::NotDry), (13, ErrorCode::NotDry), (1 << 4 | 3, ErrorCode::Unspecified)]
    {
        let result = r.register_objective(a, &flags(bits), Registration::default());
        assert_eq!(result.unwrap_err().code, code, "flags {bits}");
    }
    r.register_objective(a, &flags(11), Registration::default()).unwrap();
}

/// T-17, T-21: an empty name, a loop count of 0 and a message size below every node's are refused.
#[test]
fn meaningless_registrations_are_refused() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    let small = Registration { message_size: 2047, ..Registration::default() };
    for (objective, registration) in [
        (synch(""), Registration::default()),
        (synch("o").with_loop_count(0), Registration::default()),
        (synch("o"), small),
    ] {
        let result = r.register_objective(a, &objective, registration);
        assert_eq!(result.unwrap_err().code, ErrorCode::Unspecified);
    }
    assert!(r.registration("o").is_none());
}

/// G-OBJ-08, G-OBJ-09: names for experiments need permission; others that look alike do not.
#[test]
fn experimental_names_need_permission() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    for n in 0..10 {
        let result = r.register_objective(a, &synch(&format!("EX{n}")), Registration::default());
        assert_eq!(result.unwrap_err().code, ErrorCode::Unspecified);
    }
    for name in ["EX", "EX10", "ex1", "EX1 "] {
        r.register_objective(a, &synch(name), Registration::default()).unwrap();
    }
    let mut lab = registry_with(RegistryLimits { experimental: true, ..RegistryLimits::default() });
    let a = lab.register_asa("a").unwrap();
    lab.register_objective(a, &synch("EX1"), Registration::default()).unwrap();
}

/// G-OBJ-10, G-RATE-06: one ASA holds many objectives, up to the bound; more get `#11` and change nothing.
#[test]
fn objectives_are_bounded() {
    let mut r = registry_with(RegistryLimits { objectives: 100, ..RegistryLimits::default() });
    let a = r.register_asa("a").unwrap();
    for n in 0..100 {
        r.register_objective(a, &synch(&format!("o{n}")), Registration::default()).unwrap();
    }
    let full = r.register_objective(a, &synch("more"), Registration::default());
    assert_eq!(full.unwrap_err().code, ErrorCode::ObjectivesFull);
    assert!(r.registration("more").is_none());
    r.deregister_objective(a, "o7").unwrap();
    r.register_objective(a, &synch("more"), Registration::default()).unwrap();
}

/// A-REG-11, A-REG-12: several ASAs hold an objective only if all of them agree to it.
#[test]
fn overlap_needs_every_holders_consent() {
    for (first, second, taken) in
        [(true, true, true), (false, false, false), (false, true, false), (true, false, false)]
    {
        let mut r = registry();
        let (a, b) = (r.register_asa("a").unwrap(), r.register_asa("b").unwrap());
        let how = |overlap| Registration { overlap, ..Registration::default() };
        r.register_objective(a, &synch("o"), how(first)).unwrap();
        let result = r.register_objective(b, &synch("o"), how(second)).map_err(|error| error.code);
        assert_eq!(result, if taken { Ok(()) } else { Err(ErrorCode::ObjectiveRegistered) }, "{first} {second}");
    }
}

/// A-REG-11: the same ASA cannot hold an objective twice, and two ASAs cannot hold it as two kinds.
#[test]
fn overlap_is_neither_doubling_nor_mixing() {
    let mut r = registry();
    let (a, b) = (r.register_asa("a").unwrap(), r.register_asa("b").unwrap());
    r.register_objective(a, &synch("o"), overlapping()).unwrap();
    let again = r.register_objective(a, &synch("o"), overlapping());
    assert_eq!(again.unwrap_err().code, ErrorCode::ObjectiveRegistered);
    let other = r.register_objective(b, &Objective::negotiation("o"), overlapping());
    assert_eq!(other.unwrap_err().code, ErrorCode::NotBoth);
}

/// G-OBJ-01, G-OBJ-02, T-17: names are compared byte by byte.
#[test]
fn names_are_bytes() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    for name in ["o", "O", "o ", "a:o", "b:o", "é", "e\u{301}"] {
        r.register_objective(a, &synch(name), Registration { discoverable: true, ..Registration::default() }).unwrap();
    }
    assert!(r.announcement("o").is_some() && r.announcement("\u{e9}").is_some());
    assert!(r.announcement("A:o").is_none() && r.announcement("c:o").is_none());
}

/// G-DRSP-02, A-REG-08, A-NEG-08, A-NEG-11: discovery is answered from listening to its end, not from registration.
#[test]
fn announcement_follows_listening() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    r.register_objective(a, &Objective::negotiation("o"), Registration::default()).unwrap();
    assert!(r.announcement("o").is_none());
    r.listen(a, "o", true).unwrap();
    assert!(r.announcement("o").is_some());
    r.listen(a, "o", false).unwrap();
    assert!(r.announcement("o").is_none());
}

/// A-REG-09, A-REG-10, A-REG-14: a discoverable objective is announced at once, as it was registered.
#[test]
fn announcement_says_what_was_registered() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    let registration = Registration { discoverable: true, local: true, ttl: 1234, ..Registration::default() };
    r.register_objective(a, &Objective::discovery("o"), registration).unwrap();
    let announced = r.announcement("o").unwrap();
    assert_eq!((announced.ttl, announced.local, announced.asas), (1234, true, [a].into()));
    assert_eq!(Registration::default().ttl, 60_000);
}

/// G-OBJ-06, G-DRSP-17: every objective that is listened for is announced, whoever holds it.
#[test]
fn every_listened_objective_is_announced() {
    let mut r = registry();
    for n in 0..20 {
        let asa = r.register_asa(&format!("asa{n}")).unwrap();
        let (deal, data) = (format!("deal{n}"), format!("data{n}"));
        r.register_objective(asa, &Objective::negotiation(deal.as_str()), Registration::default()).unwrap();
        r.register_objective(asa, &synch(&data), Registration::default()).unwrap();
        r.listen(asa, &deal, true).unwrap();
        r.serve(asa, &synch(&data).with_value(one(n))).unwrap();
        assert_eq!(r.announcement(&deal).unwrap().asas, [asa].into());
        assert_eq!(r.announcement(&data).unwrap().asas, [asa].into());
    }
}

/// G-SYN-05, A-SYN-04, A-SYN-05: the value served last is the current one; after the end none is served.
#[test]
fn served_value_is_the_latest() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    r.register_objective(a, &synch("o").with_loop_count(9), Registration::default()).unwrap();
    assert!(r.served("o").is_none());
    for n in [1, 2] {
        r.serve(a, &synch("o").with_value(one(n))).unwrap();
        let served = r.served("o").unwrap();
        assert_eq!((served.value, served.loop_count), (Some(one(n)), 9));
        assert!(r.announcement("o").is_some());
    }
    r.serve(a, &synch("o")).unwrap();
    assert_eq!(r.served("o").unwrap().value, Some(Value::null()));
    r.listen(a, "o", false).unwrap();
    assert!(r.served("o").is_none() && r.announcement("o").is_none());
}

/// G-NEG-28, G-SYN-10, G-SYN-12: requests of the wrong kind find no listener.
#[test]
fn nobody_listens_for_the_other_kind() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    r.register_objective(a, &Objective::negotiation("deal"), Registration::default()).unwrap();
    r.register_objective(a, &synch("data"), Registration::default()).unwrap();
    assert!(!r.negotiates("deal"), "registered is not listening");
    r.listen(a, "deal", true).unwrap();
    r.serve(a, &synch("data").with_value(one(1))).unwrap();
    assert!(r.negotiates("deal") && !r.negotiates("data") && !r.negotiates("unknown"));
    assert!(r.served("data").is_some() && r.served("deal").is_none() && r.served("unknown").is_none());
    assert_eq!(r.serve(a, &Objective::negotiation("deal")).unwrap_err().code, ErrorCode::NotSynchronizable);
}

/// G-RAPD-05, G-RAPD-06: rapid mode is off unless registered; then the current value is announced with it.
#[test]
fn rapid_mode_is_off_by_default() {
    let mut r = registry();
    let a = r.register_asa("a").unwrap();
    let rapid = Registration { rapid: Rapid::Synch, ..Registration::default() };
    r.register_objective(a, &synch("plain"), Registration::default()).unwrap();
    r.register_objective(a, &synch("rapid"), rapid).unwrap();
    for name in ["plain", "rapid"] {
        r.serve(a, &synch(name).with_value(one(5))).unwrap();
    }
    assert_eq!(r.announcement("plain").unwrap().rapid, None);
    let (mode, objective) = r.announcement("rapid").unwrap().rapid.unwrap();
    assert_eq!((mode, objective.value), (Rapid::Synch, Some(one(5))));
}
