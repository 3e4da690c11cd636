//! The ruleset as nf_tables messages (linux/netfilter/nf_tables.h, nfnetlink.h). PURE.
//!
//! All numbers travel in network byte order. Messages between BATCH_BEGIN and BATCH_END are one transaction: a table
//! half made cannot exist.

use std::net::{Ipv4Addr, SocketAddrV4};

use ipnet::Ipv4Net;
use netlink_packet_core::{NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_DUMP};

use crate::message::{Attributes, Batch, attribute, attributes, name};
use crate::nat::{Chain, Element, Hook, Map, Part, Ruleset};

/// Length of `struct nfgenmsg`: family, version, resource id.
const HEADER: usize = 4;
const IPV4: [u8; HEADER] = [2, 0, 0, 0];
/// A batch names the subsystem that it is for: nf_tables is number 10.
const FOR_NF_TABLES: [u8; HEADER] = [0, 0, 0, 10];

const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DEL_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
const GET_ELEMENT: u16 = SUBSYSTEM | 13;
const DEL_ELEMENT: u16 = SUBSYSTEM | 14;

/// A transaction, with what each of its messages is about, for the error that names the one refused.
#[derive(Debug)]
pub(crate) struct Transaction {
    pub(crate) batch: Batch,
    pub(crate) about: Vec<String>,
}

/// Makes the table with everything in it, `elements` too; takes away the one of that name first where `replace` says so.
pub(crate) fn make_table(ruleset: &Ruleset, elements: &[Element], replace: bool) -> Transaction {
    let table = &ruleset.name;
    let mut messages = Messages::default();
    if replace {
        messages.add(DEL_TABLE, 0, table_message(table), format!("delete table ip {table}"));
    }
    let mut new_table = table_message(table);
    new_table.bytes(6, &comment(&ruleset.version()));
    messages.add(NEW_TABLE, NLM_F_CREATE, new_table, format!("add table ip {table}"));
    for (id, map) in (1..).zip(&ruleset.maps) {
        messages.add(
            NEW_SET,
            NLM_F_CREATE,
            map_message(table, *map, id),
            format!("add map ip {table} {}", map.name),
        );
    }
    for chain in &ruleset.chains {
        messages.add(
            NEW_CHAIN,
            NLM_F_CREATE,
            chain_message(table, chain),
            format!("add chain ip {table} {}", chain.name),
        );
        for rule in &chain.rules {
            let message = rule_message(table, chain.name, rule);
            let about = format!("add rule ip {table} {} {}", chain.name, ruleset.rule(rule));
            messages.add(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, message, about);
        }
    }
    for element in elements {
        messages.add_element(table, element);
    }
    messages.finish()
}

/// Takes the table away, with everything in it.
pub(crate) fn delete_table(table: &str) -> Transaction {
    let mut messages = Messages::default();
    messages.add(DEL_TABLE, 0, table_message(table), format!("delete table ip {table}"));
    messages.finish()
}

/// Takes elements away (they must exist) and adds others (their keys must then be free, or mean the same already).
pub(crate) fn change_elements(table: &str, gone: &[Element], new: &[Element]) -> Transaction {
    let mut messages = Messages::default();
    for element in gone {
        let about = format!("delete element ip {table} {} {{ {} }}", element.map().name, element.key());
        messages.add(DEL_ELEMENT, 0, element_message(table, element, false), about);
    }
    for element in new {
        messages.add_element(table, element);
    }
    messages.finish()
}

/// Asks for the table by its name; ENOENT where there is none.
pub(crate) fn get_table(table: &str) -> Batch {
    question(GET_TABLE, NLM_F_ACK, &table_message(table))
}

/// The table's comment, from the answer to [`get_table`].
pub(crate) fn table_comment(answer: &[u8]) -> Option<String> {
    let userdata = attribute(answer, HEADER, 6)?;
    let length = usize::from(*userdata.get(1)?);
    Some(name(userdata.get(2..2 + length)?))
}

/// Asks for all elements of a map.
pub(crate) fn list_elements(table: &str, map: Map) -> Batch {
    let mut message = Attributes::after(&IPV4);
    message.text(1, table).text(2, map.name);
    question(GET_ELEMENT, NLM_F_DUMP, &message)
}

/// The elements in an answer to [`list_elements`].
pub(crate) fn elements(answer: &[u8], map: Map) -> Vec<Element> {
    let list = attribute(answer, HEADER, 3).unwrap_or_default();
    attributes(list, 0).filter_map(|(_, element)| read_element(element, map)).collect()
}

fn read_element(element: &[u8], map: Map) -> Option<Element> {
    let value = |kind| attribute(attribute(element, 0, kind)?, 0, 1);
    let address = |bytes: &[u8]| bytes.first_chunk::<4>().map(|octets| Ipv4Addr::from(*octets));
    let port = |bytes: &[u8]| bytes.first_chunk::<2>().map(|octets| u16::from_be_bytes(*octets));
    let (key, data) = (value(1)?, value(2)?);
    let (host_ip, host_port) =
        if map.by_address { (Some(address(key)?), port(&key[4..])?) } else { (None, port(key)?) };
    Some(Element { host_ip, host_port, to: SocketAddrV4::new(address(data)?, port(&data[4..])?) })
}

fn question(kind: u16, flags: u16, message: &Attributes) -> Batch {
    let mut batch = Batch::default();
    batch.raw(kind, flags, &message.0);
    batch
}

/// The messages of a transaction, still without the two that frame them.
#[derive(Debug, Default)]
struct Messages(Vec<(u16, u16, Vec<u8>, String)>);

impl Messages {
    fn add(&mut self, kind: u16, flags: u16, message: Attributes, about: String) {
        self.0.push((kind, flags, message.0, about));
    }

    fn add_element(&mut self, table: &str, element: &Element) {
        let about = format!("add element ip {table} {} {{ {element} }}", element.map().name);
        self.add(NEW_ELEMENT, NLM_F_CREATE, element_message(table, element, true), about);
    }

    /// Refusals come without being asked for; one acknowledgement, of the last message, says that the whole is done: one for
    /// each of hundreds of elements would overflow the socket.
    fn finish(self) -> Transaction {
        let mut transaction = Transaction { batch: Batch::default(), about: vec!["begin".into()] };
        transaction.batch.raw(BATCH_BEGIN, 0, &FOR_NF_TABLES);
        let count = self.0.len();
        for (number, (kind, flags, message, about)) in (1..).zip(self.0) {
            let ack = if number == count { NLM_F_ACK } else { 0 };
            transaction.batch.raw(kind, flags | ack, &message);
            transaction.about.push(about);
        }
        transaction.batch.raw(BATCH_END, 0, &FOR_NF_TABLES);
        transaction.about.push("commit".into());
        transaction
    }
}

fn table_message(table: &str) -> Attributes {
    let mut message = Attributes::after(&IPV4);
    message.text(1, table);
    message
}

/// A comment as libnftnl stores it: type 0, length, text with its zero byte.
fn comment(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len() + 1).expect("the comment is ours and short");
    [&[0, length], text.as_bytes(), &[0]].concat()
}

fn map_message(table: &str, map: Map, id: u32) -> Attributes {
    // The kernel compares bytes; the type numbers are nft(8)'s own, so that it can print them: ipv4_addr is 7,
    // inet_service 13, a concatenation has six bits for each. In one, every field is padded to four bytes.
    const MAP: u32 = 0x8;
    const ADDRESS: u32 = 7;
    const PORT: u32 = 13;
    const ADDRESS_AND_PORT: u32 = ADDRESS << 6 | PORT;
    let (key_type, key_length) = if map.by_address { (ADDRESS_AND_PORT, 8) } else { (PORT, 2) };
    let mut message = Attributes::after(&IPV4);
    message.text(1, table).text(2, map.name).number(3, MAP);
    message.number(4, key_type).number(5, key_length);
    message.number(6, ADDRESS_AND_PORT).number(7, 8).number(10, id);
    message
}

fn element_message(table: &str, element: &Element, with_data: bool) -> Attributes {
    let port = element.host_port.to_be_bytes();
    let key = element.host_ip.map_or(port.to_vec(), |ip| [&ip.octets()[..], &port, &[0, 0]].concat());
    let data = [&element.to.ip().octets()[..], &element.to.port().to_be_bytes(), &[0, 0]].concat();
    let mut message = Attributes::after(&IPV4);
    message.text(1, table).text(2, element.map().name).nest(3, |list| {
        list.nest(1, |element| {
            element.nest(1, |value| {
                value.bytes(1, &key);
            });
            if with_data {
                element.nest(2, |value| {
                    value.bytes(1, &data);
                });
            }
        });
    });
    message
}

fn chain_message(table: &str, chain: &Chain) -> Attributes {
    const ACCEPT: u32 = 1;
    // NF_INET_… numbers and the priorities behind nft's names (linux/netfilter_ipv4.h, enum nf_ip_hook_priorities).
    let (kind, hook, priority): (_, _, i32) = match chain.hook {
        Hook::PreroutingRaw => ("filter", 0, -300),
        Hook::PreroutingDnat => ("nat", 0, -100),
        Hook::Forward => ("filter", 2, 0),
        Hook::OutputDnat => ("nat", 3, -100),
        Hook::PostroutingSnat => ("nat", 4, 100),
    };
    let mut message = Attributes::after(&IPV4);
    message.text(1, table).text(3, chain.name).text(7, kind).number(5, ACCEPT).nest(4, |place| {
        place.number(1, hook).bytes(2, &priority.to_be_bytes());
    });
    message
}

fn rule_message(table: &str, chain: &str, rule: &[Part]) -> Attributes {
    let mut message = Attributes::after(&IPV4);
    message.text(1, table).text(2, chain).nest(4, |list| {
        for part in rule {
            part_expressions(&mut Expressions(list), table, *part);
        }
    });
    message
}

fn part_expressions(to: &mut Expressions<'_>, bridge: &str, part: Part) {
    const IIFNAME: u32 = 6;
    const OIFNAME: u32 = 7;
    const SOURCE: u32 = 12;
    const DESTINATION: u32 = 16;
    const STATE: u32 = 0;
    const STATUS: u32 = 2;
    match part {
        Part::FromBridge => to.interface(IIFNAME, true, bridge),
        Part::ToBridge => to.interface(OIFNAME, true, bridge),
        Part::NotToBridge => to.interface(OIFNAME, false, bridge),
        Part::Source(net) => to.address(SOURCE, net),
        Part::Destination(net) => to.address(DESTINATION, net),
        Part::DestinationIsHost => to.destination_is_host(),
        // Bits of enum ip_conntrack_info: established is 2, related 4. Bit 5 of the status is IPS_DST_NAT.
        Part::Answer => to.connection(STATE, 2 | 4),
        Part::Translated => to.connection(STATUS, 1 << 5),
        Part::Publish(map) => to.publish(map),
        Part::Masquerade => to.add("masq", |_| {}),
        Part::Drop => to.verdict(0),
        Part::Accept => to.verdict(1),
        Part::Return => to.verdict(-5),
    }
}

/// Registers: the 16 bytes of the first one are also four of 4 bytes each, numbered from 8.
const REGISTER: u32 = 1;
const SECOND_WORD: u32 = 9;
const EQUAL: u32 = 0;
const NOT_EQUAL: u32 = 1;

/// Expressions, the virtual machine's instructions, as list elements of a rule.
struct Expressions<'a>(&'a mut Attributes);

impl Expressions<'_> {
    fn add(&mut self, name: &str, fill: impl FnOnce(&mut Attributes)) {
        self.0.nest(1, |expression| {
            expression.text(1, name).nest(2, fill);
        });
    }

    fn compare(&mut self, operation: u32, with: &[u8]) {
        self.add("cmp", |cmp| {
            cmp.number(1, REGISTER).number(2, operation).nest(3, |value| {
                value.bytes(1, with);
            });
        });
    }

    fn mask(&mut self, mask: [u8; 4]) {
        self.add("bitwise", |bitwise| {
            bitwise.number(1, REGISTER).number(2, REGISTER).number(3, 4);
            for (kind, bytes) in [(4, mask), (5, [0; 4])] {
                bitwise.nest(kind, |value| {
                    value.bytes(1, &bytes);
                });
            }
        });
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32, register: u32) {
        self.add("payload", |payload| {
            payload.number(1, register).number(2, base).number(3, offset).number(4, length);
        });
    }

    fn meta(&mut self, key: u32) {
        self.add("meta", |meta| {
            meta.number(2, key).number(1, REGISTER);
        });
    }

    fn interface(&mut self, key: u32, equal: bool, name: &str) {
        let mut padded = [0; 16]; // IFNAMSIZ
        padded[..name.len()].copy_from_slice(name.as_bytes());
        self.meta(key);
        self.compare(if equal { EQUAL } else { NOT_EQUAL }, &padded);
    }

    fn address(&mut self, offset: u32, net: Ipv4Net) {
        const NETWORK_HEADER: u32 = 1;
        self.payload(NETWORK_HEADER, offset, 4, REGISTER);
        self.mask(net.netmask().octets());
        self.compare(EQUAL, &net.network().octets());
    }

    /// An address of this host, whichever interface has it: RTN_LOCAL, in host byte order.
    fn destination_is_host(&mut self) {
        const DESTINATION: u32 = 2;
        const ADDRESS_TYPE: u32 = 3;
        const LOCAL: u32 = 2;
        self.add("fib", |fib| {
            fib.number(3, DESTINATION).number(2, ADDRESS_TYPE).number(1, REGISTER);
        });
        self.compare(EQUAL, &LOCAL.to_ne_bytes());
    }

    fn connection(&mut self, key: u32, bits: u32) {
        self.add("ct", |ct| {
            ct.number(2, key).number(1, REGISTER);
        });
        self.mask(bits.to_ne_bytes());
        self.compare(NOT_EQUAL, &[0; 4]);
    }

    /// Looks the port (and the address before it) up, and translates to what the map says; without an entry the rule ends.
    fn publish(&mut self, map: Map) {
        const L4PROTO: u32 = 16;
        const TCP: u8 = 6;
        const NETWORK_HEADER: u32 = 1;
        const TRANSPORT_HEADER: u32 = 2;
        const DESTINATION_ADDRESS: u32 = 16;
        const DESTINATION_PORT: u32 = 2;
        const DNAT: u32 = 1;
        const FAMILY: u32 = 2;
        const MAP_ADDRESS_AND_PORT: u32 = 1 | 2;
        self.meta(L4PROTO);
        self.compare(EQUAL, &[TCP]);
        if map.by_address {
            self.payload(NETWORK_HEADER, DESTINATION_ADDRESS, 4, REGISTER);
            self.payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, SECOND_WORD);
        } else {
            self.payload(TRANSPORT_HEADER, DESTINATION_PORT, 2, REGISTER);
        }
        self.add("lookup", |lookup| {
            lookup.text(1, map.name).number(2, REGISTER).number(3, REGISTER);
        });
        self.add("nat", |nat| {
            nat.number(1, DNAT).number(2, FAMILY);
            nat.number(3, REGISTER).number(4, REGISTER).number(5, SECOND_WORD).number(6, SECOND_WORD);
            nat.number(7, MAP_ADDRESS_AND_PORT);
        });
    }

    fn verdict(&mut self, code: i32) {
        const VERDICT_REGISTER: u32 = 0;
        self.add("immediate", |immediate| {
            immediate.number(1, VERDICT_REGISTER).nest(2, |data| {
                data.nest(2, |verdict| {
                    verdict.bytes(1, &code.to_be_bytes());
                });
            });
        });
    }
}
