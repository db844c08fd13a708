//! What is around a mount: files of settings, credentials that systemd hands over, folders that variables move, and
//! proxies. Each is set for the program that is run, and seen in what it does.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use filescomfs::emulator::{Key, User};

use crate::close::write_and_close;
use crate::faithful::Ordinary;
use crate::stage::{FOLDER, KEY, Mount, Stage, run, told};

/// A site that takes no other key or password than those of the tests.
fn guarded() -> Stage {
    Stage::with(|site| {
        site.keys.push(Key { key: KEY.into(), ..Key::default() });
        site.users.push(User { name: "backup".into(), password: "s3cret".into(), ..User::default() });
    })
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A file arrives.
fn works(stage: &Stage, mount: Mount, name: &str) {
    write_and_close(&mount.path(name), b"arrived").unwrap();
    assert_eq!(stage.stored(name).unwrap(), b"arrived");
    mount.umount();
}

#[test]
fn credentials_of_systemd_are_taken_and_the_key_before_the_password() {
    let stage = guarded();
    let handed = stage.path("handed over");
    fs::create_dir(&handed).unwrap();
    let mount = |name: &str| {
        let mut command = stage.filescomfs(["mount"]);
        command.env_remove("FILES_API_KEY").env("CREDENTIALS_DIRECTORY", &handed);
        stage.mount_by(command, name, &format!("state {name}"))
    };
    fs::write(handed.join("filescomfs"), "username=backup\npassword=s3cret\n").unwrap();
    works(&stage, mount("password"), "password");
    assert_eq!(stage.requests("login"), 1);
    fs::write(handed.join("filescomfs.api-key"), format!("{KEY}\n")).unwrap();
    let key = mount("key");
    assert!(key.log().contains(&format!("credentials from {}/filescomfs.api-key", handed.display())));
    works(&stage, key, "key");
    assert_eq!(stage.requests("login"), 1, "the key needs none");

    // What the command line names comes before, and does not fall back when it is wrong.
    let wrong = stage.path("wrong");
    private(&wrong, "n0tTheKey");
    let point = stage.path("refused");
    fs::create_dir(&point).unwrap();
    let mut command = stage.filescomfs(["mount", "--api-key-file"]);
    command.arg(&wrong).arg("--cache-dir").arg(stage.path("state refused")).arg(stage.source()).arg(&point);
    let refused = command.env_remove("FILES_API_KEY").env("CREDENTIALS_DIRECTORY", &handed).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", told(&refused));
}

#[test]
fn a_file_of_storages_is_named_by_config_and_what_is_typed_wins() {
    let stage = guarded();
    stage.site.put(&format!("{FOLDER}/theirs"), b"x");
    let folder = stage.path("settings");
    fs::create_dir(&folder).unwrap();
    private(&folder.join("vault.key"), KEY);
    let config = folder.join("of the host.toml");
    private(
        &config,
        &format!(
            "[storage.vault]\nsite = \"{}\"\napi_key_file = \"vault.key\"\nfolder = \"/{FOLDER}\"\n\
             options = \"close=journaled,bwlimit-up=3M,umask=027\"\n",
            stage.site.base_url()
        ),
    );
    let mount = |point: &Path, words: &[&str]| {
        fs::create_dir_all(point).unwrap();
        let mut command = stage.filescomfs(["mount", "--config"]);
        command.arg(&config).arg("--cache-dir").arg(stage.path("state")).args(words).arg("vault").arg(point);
        command.env_remove("FILES_API_KEY").output().unwrap()
    };
    let point = stage.path("mnt");
    let mounted = mount(&point, &["--bwlimit-up", "off"]);
    assert!(mounted.status.success(), "{}", told(&mounted));
    let told_status = run(stage.filescomfs(["status", "--json"]).arg(&point));
    let status: serde_json::Value = serde_json::from_slice(&told_status.stdout).unwrap();
    assert_eq!((&status["close"], &status["folder"]), (&"journaled".into(), &format!("/{FOLDER}").into()));
    assert_eq!(status["bandwidth"]["up"], serde_json::Value::Null, "what is typed wins");
    fs::write(point.join("f"), "arrived").unwrap();
    assert_eq!(fs::metadata(point.join("theirs")).unwrap().permissions().mode() & 0o777, 0o640);
    let done = stage.filescomfs(["umount"]).arg(&point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    assert_eq!(stage.stored("f").unwrap(), b"arrived");

    // It has to be the owner's alone, and has to be understood.
    fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = mount(&point, &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert!(told(&refused).contains("chmod 600"), "{}", told(&refused));
    private(&config, "[storage.vault]\nsite = \"s\"\nfoldr = \"/x\"\n");
    let refused = mount(&point, &[]);
    assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
    assert!(told(&refused).contains("foldr"), "{}", told(&refused));
}

#[test]
fn variables_move_settings_state_cache_and_socket_of_an_ordinary_user() {
    let stage = guarded();
    let user = Ordinary::new(&stage, true);
    let program = user.program.display().to_string();
    let storage = format!(
        "[storage.vault]\\nsite = \"{}\"\\napi_key = \"{KEY}\"\\nfolder = \"/{FOLDER}\"\\n",
        stage.site.base_url()
    );
    // The path of a socket is short, as that of this folder always is; those of tests may be long.
    let run = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(run.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let run = run.path().display();
    let moved = format!(
        "export XDG_CONFIG_HOME=$PWD/config XDG_STATE_HOME=$PWD/state XDG_CACHE_HOME=$PWD/cache \
         XDG_RUNTIME_DIR={run}; unset FILES_API_KEY"
    );
    user.sh(&format!(
        "{moved}; umask 077; mkdir -p mnt config/filescomfs; printf '{storage}' > config/filescomfs/config.toml; \
         {program} mount vault mnt; echo arrived > mnt/f; ls {run}/filescomfs/*.sock; ls state/filescomfs/*/journal.sqlite; \
         test -d cache/filescomfs/*/content; {program} status mnt"
    ));
    assert_eq!(stage.stored("f").unwrap(), b"arrived\n");
    user.sh(&format!("{moved}; {program} umount mnt; test ! -e .local; test ! -e .cache"));

    // A relative path is none, as the rules of XDG say: then the home folder is.
    let relative = format!(
        "export XDG_STATE_HOME=here XDG_CONFIG_HOME=$PWD/config XDG_RUNTIME_DIR={run}; unset FILES_API_KEY"
    );
    user.sh(&format!(
        "{relative}; {program} mount vault mnt; ls .local/state/filescomfs/*/journal.sqlite; test ! -e here; {program} umount mnt"
    ));
}

#[test]
fn a_state_folder_alone_leaves_the_cache_where_it_is_by_default() {
    let stage = guarded();
    let user = Ordinary::new(&stage, true);
    let program = user.program.display().to_string();
    let mounted = format!("{program} mount --state-dir own {} mnt", stage.source());
    user.sh(&format!(
        "mkdir -p mnt; {mounted}; echo arrived > mnt/f; ls own/journal.sqlite own/spool; \
         test -d .cache/filescomfs/*/content; test ! -e .local; {program} umount mnt"
    ));
    assert_eq!(stage.stored("f").unwrap(), b"arrived\n");
}

#[test]
fn a_proxy_is_asked_for_the_site_and_not_for_what_it_is_told_to_leave_alone() {
    let stage = guarded();
    // The emulator answers whatever host it is asked for, as a proxy does. No name server knows the site.
    let mount = |name: &str, variables: &[(&str, &str)]| {
        let point = stage.path(name);
        fs::create_dir(&point).unwrap();
        let mut command =
            stage.filescomfs(["mount", "--allow-http", "--network-timeout", "5s", "--cache-dir"]);
        command
            .arg(stage.path(&format!("state {name}")))
            .arg(format!("http://files.invalid:/{FOLDER}"))
            .arg(&point);
        (point, command.envs(variables.iter().copied()).output().unwrap())
    };
    let proxy = stage.site.base_url();
    let (_, refused) = mount("without", &[]);
    assert_eq!(refused.status.code(), Some(4), "{}", told(&refused));
    // Bytes go to the storage of this host, past the proxy.
    let (point, mounted) = mount("proxied", &[("HTTP_PROXY", &proxy), ("NO_PROXY", "127.0.0.1,localhost")]);
    assert!(mounted.status.success(), "{}", told(&mounted));
    write_and_close(&point.join("f"), b"through the proxy").unwrap();
    assert_eq!(stage.stored("f").unwrap(), b"through the proxy");
    let done = stage.filescomfs(["umount"]).arg(&point).output().unwrap();
    assert!(done.status.success(), "{}", told(&done));
    let (_, refused) = mount("excepted", &[("HTTP_PROXY", &proxy), ("NO_PROXY", "files.invalid")]);
    assert_eq!(refused.status.code(), Some(4), "{}", told(&refused));
    // This host is never asked by a proxy: that one would be another host to it.
    let mut command = stage.filescomfs(["mount"]);
    command.env("HTTP_PROXY", "http://127.0.0.1:9").env("ALL_PROXY", "http://127.0.0.1:9");
    works(&stage, stage.mount_by(command, "local", "state local"), "local");
}
