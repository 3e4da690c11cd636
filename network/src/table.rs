//! The nf_tables table in the kernel: look, make, change, take away.

use std::fmt;
use std::io::ErrorKind;

use crate::nat::{AT_ADDRESS, EVERYWHERE, Element, Ruleset};
use crate::netlink::Socket;
use crate::nft::{self, Transaction};
use crate::op::{Op, OpError};

/// What went wrong with the table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The kernel was built without nf_tables, or its module cannot be loaded.
    #[error("this kernel has no nf_tables")]
    NoNfTables(#[source] OpError),
    /// One message of a transaction was refused, and so all of it.
    #[error("nf_tables refused to {what}")]
    Refused {
        /// In the words of nft(8): `add rule ip mini0 …`.
        what: String,
        /// What the kernel answered; ENOENT for a rule means that the kernel lacks one of its expressions.
        source: OpError,
    },
    /// The table could not be asked for.
    #[error("could not look at the nf_tables table")]
    Look(#[source] OpError),
}

impl TableError {
    /// Whether something that it names does not exist: the table has been flushed, or the element was gone.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.errno() == libc::ENOENT)
    }

    /// Whether an element's key is taken by another one.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if [libc::EEXIST, libc::EBUSY].contains(&source.errno()))
    }
}

/// A table by its name; the socket belongs to the network namespace that it was opened in.
///
/// Closing a netfilter socket waits for an RCU grace period (10 ms) while anything deleted from any table of the namespace
/// is still to be freed (`nft_rcv_nl_event`): whoever is in a hurry keeps it.
#[derive(Debug)]
pub(crate) struct Table {
    socket: Socket,
    name: String,
}

impl Table {
    pub(crate) fn open(name: &str) -> Result<Self, TableError> {
        let call = format_args!("socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER)");
        let opened = Op { call, shell: format_args!("# nft opens one each time") }.perform(Socket::netfilter);
        let socket = opened.map_err(|error| match error.errno() {
            libc::EPROTONOSUPPORT => TableError::NoNfTables(error),
            _ => TableError::Look(error),
        })?;
        Ok(Self { socket, name: name.to_owned() })
    }

    /// The comment of the table, empty where it has none; `None` where there is no table.
    pub(crate) fn comment(&self) -> Result<Option<String>, TableError> {
        let name = &self.name;
        let call = format_args!("sendto(nfnetlink, NFT_MSG_GETTABLE{{ip {name}}})");
        let asked = Op { call, shell: format_args!("nft list table ip {name}") }.perform(|| {
            match self.socket.ask(&nft::get_table(name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                answers => answers.map(Some),
            }
        });
        match asked {
            Ok(answers) => Ok(answers
                .map(|all| all.iter().find_map(|answer| nft::table_comment(answer)).unwrap_or_default())),
            // nfnetlink does not know the subsystem.
            Err(error) if [libc::EINVAL, libc::EOPNOTSUPP].contains(&error.errno()) => {
                Err(TableError::NoNfTables(error))
            }
            Err(error) => Err(TableError::Look(error)),
        }
    }

    /// Makes the table in one transaction, in place of the one that is there.
    pub(crate) fn make(
        &self,
        ruleset: &Ruleset,
        elements: &[Element],
        replace: bool,
    ) -> Result<(), TableError> {
        let name = &self.name;
        let (maps, chains) = (ruleset.maps.len(), ruleset.chains.len());
        let rules: usize = ruleset.chains.iter().map(|chain| chain.rules.len()).sum();
        let (count, delete) = (elements.len(), if replace { "DELTABLE, " } else { "" });
        let first = if replace { format!("delete table ip {name}\n") } else { String::new() };
        let op = Op {
            call: format_args!(
                "sendto(nfnetlink, BATCH{{{delete}NEWTABLE ip {name}, NEWSET x{maps}, NEWCHAIN x{chains}, NEWRULE x{rules}, NEWSETELEM x{count}}})"
            ),
            shell: format_args!("nft -f - <<'END'\n{first}{ruleset}{}END", Lines(name, elements)),
        };
        self.commit(&nft::make_table(ruleset, elements, replace), op)
    }

    pub(crate) fn delete(&self) -> Result<(), TableError> {
        let name = &self.name;
        let op = Op {
            call: format_args!("sendto(nfnetlink, BATCH{{DELTABLE ip {name}}})"),
            shell: format_args!("nft delete table ip {name}"),
        };
        self.commit(&nft::delete_table(name), op)
    }

    pub(crate) fn add(&self, new: &[Element]) -> Result<(), TableError> {
        self.change(&[], new)
    }

    /// Takes elements away; what is gone already is as good.
    pub(crate) fn take(&self, gone: &[Element]) -> Result<(), TableError> {
        match self.change(gone, &[]) {
            Err(error) if error.is_missing() && gone.len() > 1 => {
                gone.iter().try_for_each(|element| self.take(std::slice::from_ref(element)))
            }
            Err(error) if error.is_missing() => Ok(()),
            result => result,
        }
    }

    /// Takes some away and adds others, at once.
    pub(crate) fn change(&self, gone: &[Element], new: &[Element]) -> Result<(), TableError> {
        if gone.is_empty() && new.is_empty() {
            return Ok(());
        }
        let changes = Changes { table: &self.name, gone, new };
        let op = Op { call: format_args!("{}", Call(&changes)), shell: format_args!("{}", Shell(&changes)) };
        self.commit(&nft::change_elements(&self.name, gone, new), op)
    }

    /// All elements; none where there is no table.
    pub(crate) fn elements(&self) -> Result<Vec<Element>, TableError> {
        let mut all = Vec::new();
        for map in [EVERYWHERE, AT_ADDRESS] {
            let (name, map_name) = (&self.name, map.name);
            let call = format_args!("sendto(nfnetlink, NFT_MSG_GETSETELEM{{ip {name} {map_name}}})");
            let answers = Op { call, shell: format_args!("nft list map ip {name} {map_name}") }
                .perform(|| match self.socket.ask(&nft::list_elements(name, map)) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
                    answers => answers,
                })
                .map_err(TableError::Look)?;
            all.extend(answers.iter().flat_map(|answer| nft::elements(answer, map)));
        }
        Ok(all)
    }

    fn commit(&self, transaction: &Transaction, op: Op<'_>) -> Result<(), TableError> {
        let mut refused = 0;
        let send = || self.socket.send(&transaction.batch).inspect_err(|refusal| refused = refusal.message);
        op.perform(send).map_err(|source| TableError::Refused {
            what: transaction.about.get(refused).cloned().unwrap_or_default(),
            source,
        })
    }
}

/// Elements that leave and elements that come, told as a call and as a shell says it.
struct Changes<'a> {
    table: &'a str,
    gone: &'a [Element],
    new: &'a [Element],
}

/// So many elements are told one by one: an event is one short line.
const TOLD: usize = 8;

/// A line each for `nft -f`.
struct Lines<'a>(&'a str, &'a [Element]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(table, elements) = self;
        for element in elements.iter().take(TOLD) {
            writeln!(f, "add element ip {table} {} {{ {element} }}", element.map().name)?;
        }
        if elements.len() > TOLD { writeln!(f, "# and {} more", elements.len() - TOLD) } else { Ok(()) }
    }
}

struct Call<'a>(&'a Changes<'a>);
struct Shell<'a>(&'a Changes<'a>);

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changes { table, gone, new } = self.0;
        let mut between = "sendto(nfnetlink, BATCH{";
        for (message, elements) in [("DELSETELEM", gone), ("NEWSETELEM", new)] {
            for element in elements.iter().take(TOLD) {
                write!(f, "{between}{message} ip {table} {} {{{element}}}", element.map().name)?;
                between = ", ";
            }
            if elements.len() > TOLD {
                write!(f, "{between}{message} x{} more", elements.len() - TOLD)?;
            }
        }
        f.write_str("})")
    }
}

impl fmt::Display for Shell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Changes { table, gone, new } = self.0;
        let mut between = "";
        for (verb, elements) in [("delete", gone), ("add", new)] {
            for element in elements.iter().take(TOLD) {
                let (map, key) = (element.map().name, element.key());
                let what = if verb == "add" { element.to_string() } else { key };
                write!(f, "{between}nft {verb} element ip {table} {map} '{{ {what} }}'")?;
                between = "; ";
            }
            if elements.len() > TOLD {
                write!(f, "{between}# and {} more", elements.len() - TOLD)?;
            }
        }
        Ok(())
    }
}
