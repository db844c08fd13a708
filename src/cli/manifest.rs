//! `sync --manifest`: what is verified now, for md5sum -c.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exit_codes::{ExitCode, Failure};
use super::plain;
use crate::fs::{Page, Proven};
use crate::local::draft::Draft;
use crate::model::digest::Md5;
use crate::model::{manifest, name};
use crate::mount::asking::Talk;
use crate::mount::control::{ControlError, Request};

/// How long one page may take: every folder of it may have to be listed.
const PATIENCE: Duration = Duration::from_secs(600);

/// So many damaged files are named.
const SHOWN: usize = 20;

/// What stands behind a manifest.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Files in it.
    pub files: u64,
    /// Files that could only be compared by size or CRC32.
    pub weak: Vec<Proven>,
    /// Files on Files.com that were not proven here.
    pub unproven: u64,
    /// Symbolic links.
    pub links: u64,
    /// Files that became owed since.
    pub owed: u64,
    /// Files that are open for writing.
    pub open: u64,
    /// Files that Files.com holds damaged.
    pub contradicted: Vec<String>,
}

/// Writes the manifest of what is at and below `path` to `file`: all of it, or nothing.
pub(super) fn write(mount: &Talk, path: &str, file: &Path) -> Result<Told, Failure> {
    let failed = |error: io::Error| {
        Failure::new(ExitCode::Failed, format!("cannot write {}: {error}", file.display()))
    };
    if file == Path::new("-") {
        let mut out = io::stdout().lock();
        let told = pages(mount, path, &mut |line| out.write_all(line).map_err(failed))?;
        out.flush().map_err(failed)?;
        return Ok(told);
    }
    let mut draft = Draft::beside(file, 0o644).map_err(failed)?;
    let mut writing = io::BufWriter::new(draft.file());
    let told = pages(mount, path, &mut |line| writing.write_all(line).map_err(failed))?;
    writing.flush().map_err(failed)?;
    drop(writing);
    draft.publish().map_err(failed)?;
    Ok(told)
}

type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), Failure> + 'a;

fn pages(mount: &Talk, path: &str, sink: &mut Sink<'_>) -> Result<Told, Failure> {
    let mut told = Told::default();
    let mut after = String::new();
    loop {
        let request = Request::Manifest { path: path.to_owned(), after };
        let answer = mount.ask(&request, PATIENCE)?;
        let page: Page = serde_json::from_value(answer).map_err(|_| ControlError::Garbled)?;
        for proven in &page.files {
            sink(&line(proven)?)?;
            told.files += 1;
        }
        told.weak.extend(page.weak);
        told.unproven += page.unproven;
        told.links += page.links;
        told.owed += page.owed;
        told.open += page.open;
        told.contradicted.extend(page.contradicted);
        match page.next {
            Some(next) => after = next,
            None => return Ok(told),
        }
    }
}

/// The line of a file, under its name in the mount.
fn line(proven: &Proven) -> Result<Vec<u8>, ControlError> {
    let md5: Md5 = proven.md5.parse().map_err(|_| ControlError::Garbled)?;
    let local = local_name(&proven.path).ok_or(ControlError::Garbled)?;
    Ok(manifest::line(&md5, local.as_os_str().as_bytes()))
}

/// A path of Files.com by its POSIX names.
pub(super) fn local_name(path: &str) -> Option<PathBuf> {
    path.split('/').filter(|name| !name.is_empty()).map(name::from_remote).collect()
}

/// Tells what is not in the manifest, and with which code the command ends for it.
/// `strict`: also for files that are open.
pub(super) fn judge(told: &Told, strict: bool) -> (String, ExitCode) {
    let mut text = String::new();
    if told.unproven > 0 {
        text.push_str(&format!(
            "{} files on Files.com are not in the manifest: others put them there, or their receipts are gone\n",
            told.unproven
        ));
    }
    if told.links > 0 {
        text.push_str(&format!("{} symbolic links are not in the manifest\n", told.links));
    }
    if !told.weak.is_empty() {
        text.push_str(&format!(
            "{} files are only weakly verified and not in the manifest; turn on Data Governance, File \
             Integrity, MD5 in the site's settings:\n",
            told.weak.len()
        ));
        for weak in &told.weak {
            text.push_str(&format!("  {} by {}\n", plain(&weak.path), plain(&weak.basis)));
        }
    }
    if !told.contradicted.is_empty() {
        text.push_str(&format!(
            "{} files are damaged on Files.com, which states another MD5 of them than that of the bytes that left; write \
             them again from their source:\n",
            told.contradicted.len()
        ));
        for path in told.contradicted.iter().take(SHOWN) {
            text.push_str(&format!("  {}\n", plain(path)));
        }
        if told.contradicted.len() > SHOWN {
            text.push_str(&format!("  and {} more\n", told.contradicted.len() - SHOWN));
        }
    }
    if told.owed > 0 {
        text.push_str(&format!("{} files were changed meanwhile, and are owed again\n", told.owed));
    }
    if told.owed > 0 || !told.contradicted.is_empty() {
        return (text, ExitCode::Owed);
    }
    if strict && told.open > 0 {
        text.push_str(&format!("{} files were opened for writing meanwhile\n", told.open));
        return (text, ExitCode::Owed);
    }
    let code = if told.weak.is_empty() { ExitCode::Done } else { ExitCode::Weak };
    (text, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proven(path: &str) -> Proven {
        let md5 = Md5::of(b"x").to_string();
        Proven { path: path.into(), size: 1, md5, basis: "size".into(), uploaded: String::new() }
    }

    #[test]
    fn names_are_those_of_the_mount() {
        let line = line(&proven("a␠/b‛FF")).unwrap();
        assert_eq!(line, [&b"9dd4e461268c8034f5c8564e155c67a6  a /b\xff\n"[..]].concat());
        assert!(matches!(super::line(&proven("a/..")), Err(ControlError::Garbled)));
    }

    #[test]
    fn what_is_not_verified_is_told_and_changes_the_code() {
        assert_eq!(
            judge(&Told { files: 3, open: 1, ..Told::default() }, false),
            (String::new(), ExitCode::Done)
        );
        let (text, code) = judge(&Told { weak: vec![proven("a/b")], unproven: 2, ..Told::default() }, false);
        assert!(text.contains("2 files on Files.com") && text.contains("  a/b by size"), "{text}");
        assert_eq!(code, ExitCode::Weak);
        let (text, code) = judge(&Told { contradicted: vec!["a/b".into()], ..Told::default() }, false);
        assert!(text.contains("1 files are damaged on Files.com") && text.contains("  a/b\n"), "{text}");
        assert_eq!(code, ExitCode::Owed);
        let (_, code) = judge(&Told { weak: vec![proven("a")], owed: 1, ..Told::default() }, false);
        assert_eq!(code, ExitCode::Owed);
        let (_, code) = judge(&Told { open: 1, ..Told::default() }, true);
        assert_eq!(code, ExitCode::Owed);
    }
}
