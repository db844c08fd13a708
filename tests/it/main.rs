//! Integration tests: the real binary, a real mount, real tools, and Files.com in miniature behind it.
//!
//! Everything is compared on the far side, in what the emulator holds. A machine without FUSE fails
//! these tests: a skip would hide what they are for.

mod alone;
mod attributes;
mod awkward;
mod backups;
mod broken_disk;
mod calls;
mod close;
mod comparison;
mod contradicted;
mod crash;
mod damaged;
mod failures;
mod faithful;
mod faults;
mod hard_links;
mod held;
mod hostile;
mod identity;
mod journaled;
mod lifecycle;
mod limits;
mod line;
mod misfortune;
mod mountpoints;
mod names;
mod offline;
mod open_files;
mod options;
mod outages;
mod overtaken;
mod patience;
mod plain_umount;
mod posix_table;
mod power;
mod programs;
mod promises;
mod races;
mod reading;
mod recover;
mod reference;
mod reload;
mod resume;
mod round_trips;
mod secure;
mod semantics;
mod stage;
mod standing;
mod status;
mod steps;
mod stream;
mod surroundings;
mod twins;
mod unknowns;
