//! The two ways in which mount(8) and mount.fuse(8) call, turned into the `mount` command, and that of umount(8) into
//! `umount`; and `-o` turned into long options. After this there is one parser for everything.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, CommandFactory};

use super::arguments::CommandLine;
use crate::config::similar;

/// Options of mount(8) and of init systems that mean nothing to a mount itself; and `default_permissions`,
/// which is always on: the kernel compares modes and owners.
const IGNORED: &[&str] = &[
    "defaults",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "noowner",
    "group",
    "nogroup",
    "_netdev",
    "nofail",
    "async",
    "fsname",
    "subtype",
    "comment",
    "helper",
    "uhelper",
    "default_permissions",
];

/// Options that are handed to the kernel as they are.
const KERNEL: &[&str] = &[
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "relatime",
    "norelatime",
    "strictatime",
    "diratime",
    "nodiratime",
    "sync",
    "dirsync",
];

/// Long options that are no mount options.
const NOT_IN_FSTAB: &[&str] = &["help", "version", "report-to", "fake", "kernel-option", "read-write"];

/// An option that cannot be taken. Values are not repeated: one may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// Not one of ours, not one of mount(8).
    #[error("unknown mount option {0:?}{meant}; `filescomfs mount --help` lists them", meant = did_you_mean(.1))]
    Unknown(String, Option<String>),
    /// A secret as an option shows in ps and /proc/mounts.
    #[error(
        "{0} is no mount option, since options can be read by everybody: \
         use api-key-file=FILE or credentials=FILE"
    )]
    Secret(String),
    /// `name=` where a value belongs, or a value where none does.
    #[error("mount option {0} {1}")]
    Value(String, &'static str),
    /// A quotation that does not end.
    #[error("a quotation in the mount options does not end")]
    Unquoted,
    /// Not UTF-8.
    #[error("the mount options are not UTF-8")]
    Encoding,
}

fn did_you_mean(meant: &Option<String>) -> String {
    meant.as_ref().map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default()
}

/// The arguments as the command line's parser takes them; the first one is the program.
///
/// # Errors
/// Of `-o`.
pub fn normalize(arguments: Vec<OsString>) -> Result<Vec<OsString>, OptionError> {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_else(|| "filescomfs".into());
    let rest: Vec<OsString> = arguments.collect();
    let is_called = |name: &str| Path::new(&program).file_name().is_some_and(|own| own == name);
    if is_called("umount.filescomfs") {
        return Ok([program, "umount".into()].into_iter().chain(for_umount(rest)).collect());
    }
    let is_helper = is_called("mount.filescomfs");
    let mut normal = vec![program, "mount".into()];
    if is_helper || is_bare_mount(&rest) {
        normal.extend(expand(for_helper(rest, is_helper))?);
    } else if rest.first().is_some_and(|command| command == "mount") {
        normal.extend(expand(rest.into_iter().skip(1).collect())?);
    } else {
        normal.truncate(1);
        normal.extend(rest);
    }
    Ok(normal)
}

/// `filescomfs SOURCE MOUNTPOINT …`: two words, the first of which is no command.
fn is_bare_mount(arguments: &[OsString]) -> bool {
    let is_word = |word: &OsString| !word.as_encoded_bytes().starts_with(b"-");
    let [first, second, ..] = arguments else { return false };
    let is_command = CommandLine::command().get_subcommands().any(|command| first == command.get_name())
        || first == "help";
    is_word(first) && is_word(second) && !is_command
}

/// Takes out what only mount(8) says: `-n` (no mtab), `-s` (tolerate), `-v`, `-t TYPE`. For the
/// helper `-f` means "do everything but mount".
fn for_helper(arguments: Vec<OsString>, is_helper: bool) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let flags = argument.to_str().and_then(|text| text.strip_prefix('-')).unwrap_or_default();
        match flags {
            "o" => {
                kept.push(argument);
                kept.extend(arguments.next());
            }
            "t" => drop(arguments.next()),
            "f" if is_helper => kept.push("--fake".into()),
            _ if !flags.is_empty() && flags.bytes().all(|flag| b"nsv".contains(&flag)) => {}
            _ if is_helper && !flags.is_empty() && flags.bytes().all(|flag| b"nsvf".contains(&flag)) => {
                kept.push("--fake".into());
            }
            _ => kept.push(argument),
        }
    }
    kept
}

/// `MOUNTPOINT [-flnrv] [-N NAMESPACE] [-t TYPE]`, as umount(8) calls. Lazily and by force mean the same here: now,
/// whatever is owed.
fn for_umount(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let flags = argument.to_str().and_then(|text| text.strip_prefix('-')).unwrap_or_default();
        match flags {
            "t" | "N" => drop(arguments.next()),
            _ if !flags.is_empty() && flags.bytes().all(|flag| b"flnrv".contains(&flag)) => {
                if flags.contains(['f', 'l']) && !kept.contains(&"--lazy".into()) {
                    kept.push("--lazy".into());
                }
            }
            _ => kept.push(argument),
        }
    }
    kept
}

/// Replaces every `-o LIST` by what it means.
fn expand(arguments: Vec<OsString>) -> Result<Vec<OsString>, OptionError> {
    let mut expanded = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let list = match argument.as_encoded_bytes().strip_prefix(b"-o") {
            Some(b"") => match arguments.next() {
                Some(list) => list,
                None => {
                    expanded.push(argument);
                    break;
                }
            },
            Some(_) => match argument.to_str() {
                Some(text) => text[2..].into(),
                None => return Err(OptionError::Encoding),
            },
            None => {
                expanded.push(argument);
                continue;
            }
        };
        let list = list.to_str().ok_or(OptionError::Encoding)?;
        expanded.extend(option_arguments(list)?.into_iter().map(OsString::from));
    }
    Ok(expanded)
}

/// The long options that a list as after `-o` means.
///
/// # Errors
/// Names the first option that cannot be taken.
pub fn option_arguments(list: &str) -> Result<Vec<String>, OptionError> {
    let mut arguments = Vec::new();
    for option in split(list)? {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value)),
            None => (option.trim(), None),
        };
        if name.is_empty() && value.is_none() || name.starts_with("x-") || name.starts_with("X-") {
            continue;
        }
        if IGNORED.contains(&name) {
            continue;
        }
        if KERNEL.contains(&name) && value.is_none() {
            arguments.push(format!("--kernel-option={name}"));
            continue;
        }
        match (name, value) {
            ("ro", None) => arguments.push("--read-only".to_owned()),
            ("rw", None) => arguments.push("--read-write".to_owned()),
            ("remount", None) => arguments.push("--remount".to_owned()),
            _ => arguments.push(long_option(name, value)?),
        }
    }
    Ok(arguments)
}

/// The same of a list that stands in a file in `folder`: relative paths count from there.
///
/// # Errors
/// As of [`option_arguments`].
pub fn option_arguments_in(folder: &Path, list: &str) -> Result<Vec<String>, OptionError> {
    let command = CommandLine::command();
    let mount = command.find_subcommand("mount").into_iter().flat_map(|mount| mount.get_arguments());
    let of_paths: Vec<&str> = mount
        .filter(|argument| argument.get_value_parser().type_id() == TypeId::of::<PathBuf>())
        .filter_map(Arg::get_long)
        .collect();
    let anchored = |argument: String| match argument.strip_prefix("--").and_then(|text| text.split_once('='))
    {
        Some((long, value)) if of_paths.contains(&long) => match folder.join(value).to_str() {
            Some(value) => Ok(format!("--{long}={value}")),
            None => Err(OptionError::Encoding),
        },
        _ => Ok(argument),
    };
    option_arguments(list)?.into_iter().map(anchored).collect()
}

/// One of our own options. The kernel's habit of underscores (`allow_other`) is understood.
fn long_option(name: &str, value: Option<&str>) -> Result<String, OptionError> {
    let long = name.replace('_', "-");
    if ["api-key", "key", "password", "pass", "username", "user-name"].contains(&long.as_str()) {
        return Err(OptionError::Secret(name.to_owned()));
    }
    let command = CommandLine::command();
    let ours = command.find_subcommand("mount").into_iter().flat_map(|mount| mount.get_arguments());
    let ours: Vec<(&str, &Arg)> = ours
        .filter_map(|argument| Some((argument.get_long()?, argument)))
        .filter(|(long, _)| !NOT_IN_FSTAB.contains(long))
        .collect();
    let takes_value = ours
        .iter()
        .find(|(known, _)| *known == long)
        .map(|(_, argument)| argument.get_action().takes_values())
        .ok_or_else(|| {
            let known = ours.iter().map(|(known, _)| *known).chain(["ro", "rw", "remount"]);
            let known = known.chain(IGNORED.iter().chain(KERNEL).copied());
            OptionError::Unknown(name.to_owned(), similar(&long, known).map(str::to_owned))
        })?;
    match (takes_value, value) {
        (true, Some(value)) if !value.is_empty() => Ok(format!("--{long}={value}")),
        (true, _) => Err(OptionError::Value(name.to_owned(), "needs a value")),
        (false, None) => Ok(format!("--{long}")),
        (false, Some(_)) => Err(OptionError::Value(name.to_owned(), "takes no value")),
    }
}

/// Splits at commas, but not inside `"…"` nor behind a backslash.
fn split(list: &str) -> Result<Vec<String>, OptionError> {
    let mut options = vec![String::new()];
    let (mut quoted, mut characters) = (false, list.chars());
    while let Some(c) = characters.next() {
        let last = options.len() - 1;
        match c {
            '"' => quoted = !quoted,
            '\\' => options[last].extend(characters.next()),
            ',' if !quoted => options.push(String::new()),
            _ => options[last].push(c),
        }
    }
    if quoted { Err(OptionError::Unquoted) } else { Ok(options) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(line: &[&str]) -> Vec<String> {
        let words = normalize(line.iter().map(OsString::from).collect()).unwrap();
        words.into_iter().skip(1).map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn all_calling_forms_become_one() {
        let wanted = ["mount", "s:/f", "/mnt", "--read-only", "--cache-size=1G"];
        for line in [
            &["filescomfs", "mount", "s:/f", "/mnt", "-o", "ro,cache-size=1G"][..],
            &["filescomfs", "mount", "s:/f", "/mnt", "-oro", "--cache-size=1G"],
            &["filescomfs", "s:/f", "/mnt", "-o", "ro,cache-size=1G"],
            &[
                "/sbin/mount.filescomfs",
                "s:/f",
                "/mnt",
                "-n",
                "-sv",
                "-o",
                "ro,cache-size=1G",
                "-t",
                "filescomfs",
            ],
            &[
                "filescomfs",
                "s:/f",
                "/mnt",
                "-v",
                "-o",
                "ro,,_netdev,noauto,x-systemd.automount,cache_size=1G",
            ],
        ] {
            assert_eq!(normal(line), wanted, "{line:?}");
        }
        assert_eq!(normal(&["mount.filescomfs", "s", "/m", "-f"]), ["mount", "s", "/m", "--fake"]);
    }

    #[test]
    fn umount_calls_its_helper() {
        let helper = |line: &[&str]| normal(&[&["/sbin/umount.filescomfs"], line].concat());
        assert_eq!(helper(&["/mnt", "-t", "fuse.filescomfs"]), ["umount", "/mnt"]);
        assert_eq!(helper(&["/mnt", "-lv", "-f", "-t", "fuse.filescomfs"]), ["umount", "/mnt", "--lazy"]);
        assert_eq!(helper(&["/mnt", "--timeout", "1s"]), ["umount", "/mnt", "--timeout", "1s"]);
    }

    #[test]
    fn other_commands_stay_as_they_are() {
        assert_eq!(normal(&["filescomfs", "test", "mysite", "--write"]), ["test", "mysite", "--write"]);
        assert_eq!(normal(&["filescomfs", "help", "mount"]), ["help", "mount"]);
        assert_eq!(normal(&["filescomfs", "--help"]), ["--help"]);
        assert_eq!(normal(&["filescomfs"]), [""; 0]);
    }

    #[test]
    fn generic_options_are_taken_or_ignored() {
        assert_eq!(option_arguments("remount,ro").unwrap(), ["--remount", "--read-only"]);
        let taken =
            option_arguments("defaults,user,nofail,default_permissions,comment=x,fsname=y,nosuid,noatime,rw")
                .unwrap();
        assert_eq!(taken, ["--kernel-option=nosuid", "--kernel-option=noatime", "--read-write"]);
        let quoted = option_arguments(r#"log="/a,b",cache-dir=/c\,d"#).unwrap();
        assert_eq!(quoted, ["--log=/a,b", "--cache-dir=/c,d"]);
    }

    #[test]
    fn paths_in_a_file_count_from_its_folder() {
        let list = "cache-dir=cache,log=/var/log/x,api_key_file=../key,close=journaled,state-dir=s,config=c";
        let wanted = [
            "--cache-dir=/etc/f/cache",
            "--log=/var/log/x",
            "--api-key-file=/etc/f/../key",
            "--close=journaled",
            "--state-dir=/etc/f/s",
            "--config=/etc/f/c",
        ];
        assert_eq!(option_arguments_in(Path::new("/etc/f"), list).unwrap(), wanted);
    }

    #[test]
    fn a_limit_of_bandwidth_by_the_time_of_day_fits_into_a_list() {
        let wanted = ["--bwlimit-up=08:00=512K+19:00=10M+23:00=off", "--read-only"];
        assert_eq!(option_arguments("bwlimit_up=08:00=512K+19:00=10M+23:00=off,ro").unwrap(), wanted);
        // As rclone writes it: in quotes, which also survive fstab with \\040 for a space.
        let quoted = option_arguments("bwlimit-up=\"08:00,512K 19:00,off\",ro").unwrap();
        assert_eq!(quoted, ["--bwlimit-up=08:00,512K 19:00,off", "--read-only"]);
    }

    #[test]
    fn every_long_option_is_a_mount_option() {
        let command = CommandLine::command();
        let mount = command.find_subcommand("mount").unwrap();
        for argument in mount.get_arguments() {
            let Some(long) = argument.get_long() else { continue };
            let option =
                if argument.get_action().takes_values() { format!("{long}=1") } else { long.to_owned() };
            assert_eq!(option_arguments(&option).is_ok(), !NOT_IN_FSTAB.contains(&long), "{long}");
        }
    }

    #[test]
    fn what_cannot_be_taken_is_named_and_its_value_is_not() {
        for (list, named) in [
            ("colour=SECRET", "\"colour\";"),
            ("cache-sise=SECRET", "did you mean cache-size?"),
            ("alow_other", "did you mean allow-other?"),
            ("noatme", "did you mean noatime?"),
            ("api_key=SECRET", "api-key-file=FILE"),
            ("password=SECRET", "credentials=FILE"),
            ("cache-size", "needs a value"),
            ("read-only=SECRET", "takes no value"),
            ("log=\"SECRET", "does not end"),
            ("report-to=3", "report-to"),
        ] {
            let message = option_arguments(list).unwrap_err().to_string();
            assert!(message.contains(named) && !message.contains("SECRET"), "{list}: {message}");
        }
    }
}
