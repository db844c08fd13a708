//! The checklist: lines with a verdict each, shown as they come, and what they amount to.

use crate::cli::exit_codes::ExitCode;
use crate::cli::plain;

/// What a line amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works; something should be known or changed.
    Warning,
    /// Does not work; the command ends with this code.
    Bad(ExitCode),
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// What it amounts to.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it, where there is something to do.
    pub remedy: Option<String>,
}

impl Check {
    /// The line for people, its remedy below it.
    pub fn show(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => '✓',
            Verdict::Warning => '!',
            Verdict::Bad(_) => '✗',
        };
        let mut text = format!("{mark} {:<12} {}\n", self.name, plain(&self.detail));
        if let Some(remedy) = &self.remedy {
            text.push_str(&format!("{:15}→ {}\n", "", plain(remedy)));
        }
        text
    }
}

/// All lines until now.
pub struct Checklist<'a> {
    checks: Vec<Check>,
    shown: Box<dyn FnMut(&Check) + 'a>,
}

impl<'a> Checklist<'a> {
    /// An empty list; `shown` gets every line as it comes.
    pub fn new(shown: impl FnMut(&Check) + 'a) -> Self {
        Self { checks: Vec::new(), shown: Box::new(shown) }
    }

    fn add(&mut self, check: Check) {
        (self.shown)(&check);
        self.checks.push(check);
    }

    /// It is as it should be.
    pub fn good(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(Check { name, verdict: Verdict::Good, detail: detail.into(), remedy: None });
    }

    /// It works, but.
    pub fn warn(&mut self, name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) {
        let remedy = Some(remedy.into());
        self.add(Check { name, verdict: Verdict::Warning, detail: detail.into(), remedy });
    }

    /// It does not work.
    pub fn bad(
        &mut self,
        name: &'static str,
        code: ExitCode,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let remedy = Some(remedy.into());
        self.add(Check { name, verdict: Verdict::Bad(code), detail: detail.into(), remedy });
    }

    /// The first thing that does not work decides: the others often follow from it.
    pub fn code(&self) -> ExitCode {
        let codes = self.checks.iter().filter_map(|check| match check.verdict {
            Verdict::Bad(code) => Some(code),
            _ => None,
        });
        codes.into_iter().next().unwrap_or(ExitCode::Done)
    }

    /// One line about all lines.
    pub fn summary(&self) -> String {
        let count =
            |wanted: fn(&Verdict) -> bool| self.checks.iter().filter(|check| wanted(&check.verdict)).count();
        let bad = count(|verdict| matches!(verdict, Verdict::Bad(_)));
        let warnings = count(|verdict| *verdict == Verdict::Warning);
        match (bad, warnings) {
            (0, 0) => "Everything is as it should be.".to_owned(),
            (0, warnings) => format!("It works; {warnings} to look at."),
            (bad, 0) => format!("It does not work: {bad} to fix."),
            (bad, warnings) => format!("It does not work: {bad} to fix, {warnings} to look at."),
        }
    }

    /// The lines.
    #[cfg(test)]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }
}
