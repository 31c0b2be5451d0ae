//! Time to decode and encode two typical messages, each beside minicbor moving the same bytes into and out of a plain
//! struct.
#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use grasp::wire::{Limits, Message, decode};
use minicbor::data::Type;
use minicbor::decode::Error;
use minicbor::{Decoder, Encoder};
use std::hint::black_box;

/// V-10: a counter-proposal.
const NEGOTIATE: &str = "83051a00d214628463455833030582634e5a44190133";
/// V-24: a flood of two objectives.
const FLOOD: &str = "86091a00357b4e5020010db8f000baaa28ccdc4c9703678119271082846345583105060180828463455832050302\
                     8418675020010db8f000baaaf000baaaf000baaa06191b69";

/// What a program without GRASP's rules would decode into.
#[derive(Debug, PartialEq)]
struct PlainObjective {
    name: String,
    flags: u64,
    loop_count: u8,
    value: Option<PlainValue>,
}

#[derive(Debug, PartialEq)]
enum PlainValue {
    Number(u64),
    Money(String, u64),
}

#[derive(Debug, PartialEq)]
struct PlainLocator {
    option: u8,
    address: Vec<u8>,
    transport: u8,
    port: u16,
}

#[derive(Debug, PartialEq)]
struct PlainNegotiate {
    session_id: u32,
    objective: PlainObjective,
}

#[derive(Debug, PartialEq)]
struct PlainFlood {
    session_id: u32,
    initiator: Vec<u8>,
    ttl: u32,
    pairs: Vec<(PlainObjective, Option<PlainLocator>)>,
}

fn array(d: &mut Decoder<'_>) -> Result<u64, Error> {
    d.array()?.ok_or_else(|| Error::message("indefinite"))
}

fn plain_objective(d: &mut Decoder<'_>) -> Result<PlainObjective, Error> {
    let len = array(d)?;
    let (name, flags, loop_count) = (d.str()?.to_owned(), d.u64()?, d.u8()?);
    let value = if len == 4 {
        Some(if d.datatype()? == Type::Array {
            array(d)?;
            PlainValue::Money(d.str()?.to_owned(), d.u64()?)
        } else {
            PlainValue::Number(d.u64()?)
        })
    } else {
        None
    };
    Ok(PlainObjective { name, flags, loop_count, value })
}

fn plain_negotiate(bytes: &[u8]) -> Result<PlainNegotiate, Error> {
    let d = &mut Decoder::new(bytes);
    array(d)?;
    d.u8()?;
    Ok(PlainNegotiate { session_id: d.u32()?, objective: plain_objective(d)? })
}

fn plain_flood(bytes: &[u8]) -> Result<PlainFlood, Error> {
    let d = &mut Decoder::new(bytes);
    let len = array(d)?;
    d.u8()?;
    let (session_id, initiator, ttl) = (d.u32()?, d.bytes()?.to_vec(), d.u32()?);
    let mut pairs = Vec::new();
    for _ in 4..len {
        array(d)?;
        let objective = plain_objective(d)?;
        let locator = if array(d)? == 0 {
            None
        } else {
            let (option, address, transport, port) = (d.u8()?, d.bytes()?.to_vec(), d.u8()?, d.u16()?);
            Some(PlainLocator { option, address, transport, port })
        };
        pairs.push((objective, locator));
    }
    Ok(PlainFlood { session_id, initiator, ttl, pairs })
}

type Sink = Encoder<Vec<u8>>;
type Sunk = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn put_objective(e: &mut Sink, objective: &PlainObjective) -> Sunk {
    e.array(3 + u64::from(objective.value.is_some()))?.str(&objective.name)?;
    e.u64(objective.flags)?.u8(objective.loop_count)?;
    match &objective.value {
        Some(PlainValue::Number(n)) => e.u64(*n)?,
        Some(PlainValue::Money(currency, n)) => e.array(2)?.str(currency)?.u64(*n)?,
        None => e,
    };
    Ok(())
}

fn put_negotiate(message: &PlainNegotiate) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(96));
    e.array(3).unwrap().u8(5).unwrap().u32(message.session_id).unwrap();
    put_objective(&mut e, &message.objective).unwrap();
    e.into_writer()
}

fn put_flood(message: &PlainFlood) -> Vec<u8> {
    let mut e = Encoder::new(Vec::with_capacity(96));
    e.array(4 + message.pairs.len() as u64).unwrap().u8(9).unwrap().u32(message.session_id).unwrap();
    e.bytes(&message.initiator).unwrap().u32(message.ttl).unwrap();
    for (objective, locator) in &message.pairs {
        e.array(2).unwrap();
        put_objective(&mut e, objective).unwrap();
        match locator {
            Some(l) => {
                e.array(4).unwrap().u8(l.option).unwrap().bytes(&l.address).unwrap();
                e.u8(l.transport).unwrap().u16(l.port).unwrap()
            }
            None => e.array(0).unwrap(),
        };
    }
    e.into_writer()
}

fn codec(c: &mut Criterion) {
    let limits = Limits::default();
    let negotiate = grasp::hex::decode(NEGOTIATE).unwrap();
    let flood = grasp::hex::decode(FLOOD).unwrap();

    let (ours, plain): (Message, _) = (decode(&negotiate, &limits).unwrap(), plain_negotiate(&negotiate).unwrap());
    assert_eq!((ours.encode(), put_negotiate(&plain)), (negotiate.clone(), negotiate.clone()));
    let mut group = c.benchmark_group("negotiate");
    group.bench_function("decode", |b| b.iter(|| decode(black_box(&negotiate), &limits).unwrap()));
    group.bench_function("decode-minicbor", |b| b.iter(|| plain_negotiate(black_box(&negotiate)).unwrap()));
    group.bench_function("encode", |b| b.iter(|| black_box(&ours).encode()));
    group.bench_function("encode-minicbor", |b| b.iter(|| put_negotiate(black_box(&plain))));
    group.finish();

    let (ours, plain): (Message, _) = (decode(&flood, &limits).unwrap(), plain_flood(&flood).unwrap());
    assert_eq!((ours.encode(), put_flood(&plain)), (flood.clone(), flood.clone()));
    let mut group = c.benchmark_group("flood");
    group.bench_function("decode", |b| b.iter(|| decode(black_box(&flood), &limits).unwrap()));
    group.bench_function("decode-minicbor", |b| b.iter(|| plain_flood(black_box(&flood)).unwrap()));
    group.bench_function("encode", |b| b.iter(|| black_box(&ours).encode()));
    group.bench_function("encode-minicbor", |b| b.iter(|| put_flood(black_box(&plain))));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
