//! The manual page and the completions, made from the parser itself so that they cannot lag behind.

use clap::CommandFactory;

use super::arguments::CommandLine;
use super::exit_codes::{ExitCode, Failure};
use super::{help, print};

/// Prints the manual page.
pub fn page() -> Result<ExitCode, Failure> {
    let text = render().map_err(|error| Failure::new(ExitCode::Failed, error.to_string()))?;
    print(&text)?;
    Ok(ExitCode::Done)
}

/// Prints completions.
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "filescomfs", &mut text);
    print(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::Done)
}

/// One page for all commands: whoever types `man filescomfs` looks for the options of `mount`.
fn render() -> std::io::Result<String> {
    let mut command = CommandLine::command();
    command.build();
    let mut text = Vec::new();
    let page = clap_mangen::Man::new(command.clone().after_help(None::<&str>));
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    let listed = |command: &&clap::Command| command.get_name() != "help";
    for command in command.get_subcommands().filter(listed) {
        section(&mut text, command.get_name(), command)?;
        for part in command.get_subcommands().filter(listed) {
            section(&mut text, &format!("{} {}", command.get_name(), part.get_name()), part)?;
        }
    }
    let codes: Vec<String> = ExitCode::TABLE
        .iter()
        .map(|(code, meaning)| format!(".TP\n\\fB{}\\fR\n{meaning}", code.number()))
        .collect();
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text + &help::MANUAL.replace("@EXIT_STATUS@", &codes.join("\n")))
}

/// One command of the page, with its options below it.
fn section(text: &mut Vec<u8>, name: &str, command: &clap::Command) -> std::io::Result<()> {
    let mut part = Vec::new();
    let man = clap_mangen::Man::new(command.clone());
    man.render_synopsis_section(&mut part)?;
    man.render_description_section(&mut part)?;
    man.render_options_section(&mut part)?;
    let part = String::from_utf8_lossy(&part).replace(".SH SYNOPSIS", ".SS SYNOPSIS");
    let part = part.replace(".SH DESCRIPTION", ".PP").replace(".SH", ".SS");
    let heading = format!(".SH \"FILESCOMFS {}\"\n", name.to_uppercase());
    text.extend(part.replacen(".SS SYNOPSIS\n", &heading, 1).into_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_section_and_every_option() {
        let page = render().unwrap();
        for section in ["NAME", "SYNOPSIS", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES", "EXAMPLES"] {
            assert!(page.contains(&format!(".SH {section}\n")), "{section}");
        }
        for command in ["SYNC", "STATUS", "HELD", "HELD DISCARD", "RECOVER", "RUN", "REFRESH"] {
            assert!(page.contains(&format!(".SH \"FILESCOMFS {command}\"\n")), "{command}");
        }
        let command = CommandLine::command();
        let mount = command.find_subcommand("mount").unwrap();
        for argument in mount.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let Some(long) = argument.get_long() else { continue };
            assert!(page.contains(&long.replace('-', "\\-")), "{long}");
        }
    }

    #[test]
    fn the_parser_holds_together() {
        CommandLine::command().debug_assert();
    }
}
