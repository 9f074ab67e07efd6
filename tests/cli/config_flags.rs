//! The flags of a config on `generate config` and `update config`.

use serde_json::{Value, json};

use crate::support::*;

/// Runs a command on the config and returns the config that it made.
#[track_caller]
fn config(sandbox: &Sandbox, words: &str, more: &[&str]) -> Value {
    let words = format!("layout {words} config -p image -q");
    let outcome = sandbox.run_words(words.split(' ').chain(more.iter().copied()));
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{more:?}");
    sandbox.blob_json(outcome.stdout.trim_end())
}

fn rootfs() -> Value {
    json!({"type": "layers", "diff_ids": [BASE_DIFF_ID, PATCHES_DIFF_ID]})
}

#[test]
fn every_field_has_a_flag() {
    let sandbox = Sandbox::staged();
    let flags = [
        ["--entrypoint", "/app"],
        ["--entrypoint", "-v"],
        ["--cmd", r#"["a b", ""]"#],
        ["--env", "A=1=2"],
        ["--env", "B="],
        ["--workdir", "/srv"],
        ["--user", "1000:1000"],
        ["--expose", "8080"],
        ["--expose", "53/UDP"],
        ["--volume", "/data"],
        ["--stop-signal", "SIGINT"],
        ["--healthcheck", "test -f /ready"],
        ["--label", "a=1"],
        ["--annotation", "a=2"],
        ["--author", "Example Ltd."],
        ["--created", "2026-03-08T12:00:00+02:00"],
        ["--platform", "linux/arm/v7"],
        ["--os-version", "1.2"],
        ["--os-feature", "x"],
        ["--os-feature", "y"],
    ];
    assert_eq!(
        config(&sandbox, "generate", &flags.concat()),
        json!({
            "architecture": "arm", "os": "linux", "variant": "v7", "os.version": "1.2", "os.features": ["x", "y"],
            "author": "Example Ltd.", "created": "2026-03-08T10:00:00Z", "rootfs": rootfs(),
            "config": {
                "Entrypoint": ["/app", "-v"], "Cmd": ["a b", ""], "Env": ["A=1=2", "B="], "WorkingDir": "/srv",
                "User": "1000:1000", "ExposedPorts": {"8080/tcp": {}, "53/udp": {}}, "Volumes": {"/data": {}},
                "StopSignal": "SIGINT", "Healthcheck": {"Test": ["CMD-SHELL", "test -f /ready"]}, "Labels": {"a": "2"},
            },
        })
    );
    sandbox.ok("layout generate manifest -p image -q");
    sandbox.is_valid();
    let platform =
        json!({"architecture": "arm", "os": "linux", "variant": "v7", "os.version": "1.2", "os.features": ["x", "y"]});
    assert_eq!(sandbox.index()["manifests"][0]["platform"], platform);
}

#[test]
fn each_field_can_be_changed_back() {
    let sandbox = Sandbox::configured();
    for (set, unset) in [
        (&["--entrypoint", "/app"][..], &["--no-entrypoint"][..]),
        (&["--cmd", "x"], &["--no-cmd"]),
        (&["--shell-cmd", "x"], &["--clear", "Cmd"]),
        (&["--env", "A=1"], &["--unset-env", "A"]),
        (&["--expose", "80"], &["--unexpose", "80/tcp"]),
        (&["--volume", "/data"], &["--remove-volume", "/data"]),
        (&["--user", ""], &["--clear", "User"]),
        (&["--workdir", ""], &["--clear", "WorkingDir"]),
        (&["--stop-signal", ""], &["--clear", "StopSignal"]),
        (&["--healthcheck", r#"{"Test": ["NONE"]}"#], &["--no-healthcheck"]),
        (&["--label", "a="], &["--unset-label", "a"]),
        (&["--author", ""], &["--clear", "author"]),
        (&["--created", "@0"], &["--clear", "created"]),
        (&["--variant", "v3"], &["--clear", "variant"]),
        (&["--os-version", "1"], &["--clear", "os.version"]),
        (&["--os-feature", "a"], &["--clear", "os.features"]),
    ] {
        let before = config(&sandbox, "update", set);
        assert_eq!(config(&sandbox, "update", set), before, "{set:?} again changes nothing");
        config(&sandbox, "update", unset);
        assert_eq!(sandbox.stage()["config"]["digest"], CONFIG, "{set:?} {unset:?}");
    }
    config(&sandbox, "update", &["--history", "a"]);
    config(&sandbox, "update", &["--no-history", "--clear", "created"]);
    sandbox.has_blobs([BASE, PATCHES, CONFIG]);
}

#[test]
fn a_shell_command_is_run_by_the_shell_and_an_array_may_be_empty() {
    let sandbox = Sandbox::configured();
    let changed = config(&sandbox, "update", &["--shell-cmd", "-x $A", "--entrypoint", "[]"]);
    assert_eq!(changed["config"], json!({"Cmd": ["/bin/sh", "-c", "-x $A"], "Entrypoint": []}));
    let changed = config(&sandbox, "update", &["--cmd", "[", "--cmd", "--", "--entrypoint", "{}"]);
    assert_eq!(changed["config"], json!({"Cmd": ["[", "--"], "Entrypoint": ["{}"]}));
}

#[test]
fn history_and_times_come_with_a_text_only() {
    let sandbox = Sandbox::staged();
    let entries = |created: &str, texts: &[&str]| {
        let layer = json!({"created": created, "created_by": "regshape add layer --file"});
        let empty = |text: &&str| json!({"created": created, "created_by": text, "empty_layer": true});
        Value::Array([layer.clone(), layer].into_iter().chain(texts.iter().map(empty)).collect())
    };
    let made = config(&sandbox, "generate", &["--history", "one", "--history", "-two"]);
    let (created, history) = (json!("1970-01-01T00:00:00Z"), entries("1970-01-01T00:00:00Z", &["one", "-two"]));
    assert_eq!((&made["created"], &made["history"]), (&created, &history));
    let changed = config(&sandbox, "update", &["--history", "three", "--no-entrypoint"]);
    assert_eq!(changed["history"], entries("1970-01-01T00:00:00Z", &["one", "-two", "three"]));
    sandbox.ok("layout generate manifest -p image -q");
    sandbox.is_valid();
    let made = config(&sandbox, "generate", &["--history", "one", "--created", "@1"]);
    let (created, history) = (json!("1970-01-01T00:00:01Z"), entries("1970-01-01T00:00:01Z", &["one"]));
    assert_eq!((&made["created"], &made["history"]), (&created, &history));
    // The variable counts for all commands that write entries.
    for words in ["generate", "update"] {
        sandbox.ok("layout generate config -p image -q");
        let words = format!("layout {words} config -p image --json --history one");
        let output = sandbox.command().args(words.split(' ')).env("SOURCE_DATE_EPOCH", "1700000000").output();
        let outcome = Outcome::from(output.expect("the program runs"));
        let made = sandbox.blob_json(outcome.json()["digest"].as_str().expect("a digest"));
        assert_eq!(made["history"], entries("2023-11-14T22:13:20Z", &["one"]));
        assert_eq!(made["created"], "2023-11-14T22:13:20Z");
    }
}

#[test]
fn layers_of_which_the_staging_file_says_how_they_were_made_get_a_history() {
    let sandbox = Sandbox::staged();
    sandbox.edit("image/.regshape-stage.json", |stage| {
        stage["layers"][1]["created_by"] = json!("regshape add layer --copy /app");
    });
    let made = config(&sandbox, "generate", &[]);
    let epoch = "1970-01-01T00:00:00Z";
    let history = json!([
        {"created": epoch, "created_by": "regshape add layer --file"},
        {"created": epoch, "created_by": "regshape add layer --copy /app"},
    ]);
    assert_eq!((&made["created"], &made["history"]), (&json!(epoch), &history));
    let words = "layout generate config -p image -q --no-history";
    sandbox.run(words).succeeds(format!("{CONFIG}\n"), "");
}

#[test]
fn a_history_that_is_longer_than_the_layers_is_refused() {
    let sandbox = Sandbox::configured();
    let mut long = sandbox.blob_json(CONFIG);
    long["history"] = json!([{}, {}, {"empty_layer": true}, {}]);
    let digest = sandbox.store(long.to_string());
    sandbox.edit("image/.regshape-stage.json", |stage| {
        stage["config"]["digest"] = json!(digest);
        stage["config"]["size"] = json!(long.to_string().len());
    });
    sandbox.refuses(
        "layout update config -p image --history x",
        "the history has 3 entries of layers, but the image has 2; use --no-history to remove it",
    );
    assert_eq!(config(&sandbox, "update", &["--user", "a"])["history"], long["history"]);
    config(&sandbox, "update", &["--no-history", "--clear", "User"]);
    assert_eq!(sandbox.stage()["config"]["digest"], CONFIG);
}

#[test]
fn a_config_file_gives_all_fields_but_those_of_the_layers() {
    let sandbox = Sandbox::staged();
    let given = json!({
        "architecture": "arm64", "os": "linux", "author": "a", "created": "2026-03-08T00:00:00Z", "x": 1.5,
        "config": {"Env": ["A=1"], "Cmd": ["x"]}, "history": [{}], "rootfs": {"type": "layers", "diff_ids": []},
    });
    sandbox.write("given.json", given.to_string());
    let mut expected = given.clone();
    expected["rootfs"] = rootfs();
    for name in ["created", "history"] {
        expected.as_object_mut().expect("an object").remove(name);
    }
    assert_eq!(config(&sandbox, "generate", &["--config-file", "given.json"]), expected);
    let note = "Using architecture arm64; --architecture sets another\n";
    let outcome = sandbox.run("layout generate config -p image -v --config-file given.json");
    assert!(outcome.stderr.starts_with(note), "{outcome:?}");
    expected["config"]["Env"] = json!(["A=1:2"]);
    expected["architecture"] = json!("riscv64");
    let flags =
        ["--config-file", "given.json", "--env", "A=${A}:2", "--expand-env", "--architecture", "riscv64"].as_slice();
    assert_eq!(config(&sandbox, "generate", flags), expected);
    // A field that the file lacks is gone.
    config(&sandbox, "update", &["--user", "a", "--stop-signal", "9"]);
    assert_eq!(config(&sandbox, "update", flags), expected);
    for (content, message) in [
        ("", "EOF while parsing a value at line 1, column 0"),
        ("[]", "invalid type: sequence, expected a map at line 1, column 0"),
    ] {
        sandbox.write("given.json", content);
        let message = format!("given.json is not an image config: {message}");
        sandbox.refuses("layout update config -p image --config-file given.json", &message);
    }
    for (content, message) in [
        (r#"{"config": {"Env": "x"}}"#, "the given config is not valid: config.Env is 'x', not an array"),
        (
            r#"{"architecture": "aarch64"}"#,
            "'aarch64' is not the word that image configs have for this architecture; use arm64",
        ),
    ] {
        sandbox.write("given.json", content);
        sandbox.refuses("layout update config -p image --config-file given.json", message);
        sandbox.refuses("layout generate config -p image --config-file given.json", message);
    }
    sandbox.run("layout update config -p image --config-file none").fails_with(1, predicates::str::contains("none"));
}

#[test]
fn a_config_beyond_the_limit_of_documents_is_refused() {
    let sandbox = Sandbox::configured();
    let long = "x".repeat(100_000);
    let given = json!({"config": {"Env": vec![format!("A={long}"); 85]}});
    sandbox.write("given.json", given.to_string());
    sandbox
        .refuses("layout update config -p image --config-file given.json", "the config is larger than 8388608 bytes");
}

#[test]
fn values_that_a_config_cannot_have_are_refused_and_nothing_is_changed() {
    let sandbox = Sandbox::configured();
    let value = |text: &str, flag: &str, fault: &str| format!("error: invalid value '{text}' for '{flag}': {fault}");
    let platform = |text: &str, right: &str| {
        let fault = format!("'{text}' is not the word that image configs have for this platform; use {right}");
        value(text, "--platform <OS/ARCH[/VARIANT]>", &fault)
    };
    let cannot = |one: &str, other: &str| format!("error: the argument '{one}' cannot be used with '{other}'");
    let (entrypoint, cmd) = ("--entrypoint <ARG>", "--cmd <ARG>");
    let no_entrypoint = "the argument is empty; use --no-entrypoint to remove the entrypoint";
    let no_cmd = "the argument is empty; use --no-cmd to remove the default arguments";
    let healthcheck = "--healthcheck <COMMAND>";
    let before = sandbox.tree();
    for (words, status, message) in [
        (&["--entrypoint", ""][..], 2, value("", entrypoint, no_entrypoint)),
        (&["--cmd", "a", "--cmd", ""], 2, value("", cmd, no_cmd)),
        (&["--shell-cmd", ""], 2, value("", "--shell-cmd <COMMAND>", no_cmd)),
        (
            &["--cmd", "a", "--cmd", r#"["b"]"#],
            2,
            "Error: --cmd takes one JSON array, or one argument a flag, not both".to_owned(),
        ),
        (
            &["--entrypoint", "[1]"],
            2,
            "Error: the JSON array of --entrypoint has values that are not strings".to_owned(),
        ),
        (&["--cmd", "a", "--no-cmd"], 2, cannot(&format!("{cmd}..."), "--no-cmd").replace("...", "")),
        (&["--entrypoint", "a", "--no-entrypoint"], 2, cannot(entrypoint, "--no-entrypoint")),
        (&["--cmd", "a", "--shell-cmd", "b"], 2, cannot(cmd, "--shell-cmd <COMMAND>")),
        (&["--history", "a", "--no-history"], 2, cannot("--history <TEXT>", "--no-history")),
        (&["--env", "A"], 2, value("A", "--env <KEY=VALUE>", "expected KEY=VALUE")),
        (&["--env", "=A"], 2, value("=A", "--env <KEY=VALUE>", "the key is empty; expected KEY=VALUE")),
        (&["--unset-env", "A=1"], 2, value("A=1", "--unset-env <KEY>", "expected KEY, without a value")),
        (
            &["--env", "A=${B}", "--expand-env"],
            1,
            "Error: A: no variable 'B' is set in the config's Env; set it first, or leave out --expand-env".to_owned(),
        ),
        (&["--env", "A=${", "--expand-env"], 1, "Error: A: '${' without '}' in '${'".to_owned()),
        (&["--workdir", "srv"], 1, "Error: WorkingDir 'srv' is not an absolute path".to_owned()),
        (
            &["--user", "a:b:c"],
            2,
            value("a:b:c", "--user <USER[:GROUP]>", "'a:b:c' is not a user of the form USER or USER:GROUP"),
        ),
        (&["--volume", "."], 1, "Error: Volume '.' is not an absolute path".to_owned()),
        (
            &["--expose", "1-9"],
            2,
            value("1-9", "--expose <PORT[/PROTO]>", "'1-9' is a range of ports; give each port on its own"),
        ),
        (
            &["--unexpose", "65536"],
            2,
            value("65536", "--unexpose <PORT[/PROTO]>", "'65536' is not a port from 1 to 65535"),
        ),
        (
            &["--stop-signal", "term"],
            2,
            value(
                "term",
                "--stop-signal <SIGNAL>",
                "'term' is not a signal such as SIGTERM, SIGRTMIN+3 or 9; use SIGTERM",
            ),
        ),
        (
            &["--healthcheck", ""],
            2,
            value("", healthcheck, "the health check is empty; use --no-healthcheck to remove it"),
        ),
        (
            &["--healthcheck", r#"["CMD"]"#],
            2,
            value(r#"["CMD"]"#, healthcheck, r#"the health check is not valid: it is an array; use {"Test": [...]}"#),
        ),
        (
            &["--created", "2026-03-08"],
            2,
            value("2026-03-08", "--created <TIME>", "expected a time such as 2026-03-08T12:00:00Z, @SECONDS or now"),
        ),
        (&["--platform", "linux/x86_64"], 2, platform("linux/x86_64", "linux/amd64")),
        (&["--platform", "Linux/amd64"], 2, platform("Linux/amd64", "linux/amd64")),
        (&["--platform", "linux/i686"], 2, platform("linux/i686", "linux/386")),
        (&["--platform", "linux/arm64v8"], 2, platform("linux/arm64v8", "linux/arm64/v8")),
        (&["--platform", "linux/arm/7"], 2, platform("linux/arm/7", "linux/arm/v7")),
        (
            &["--platform", "linux"],
            2,
            value(
                "linux",
                "--platform <OS/ARCH[/VARIANT]>",
                "'linux' is an operating system without an architecture; use linux/ARCHITECTURE, such as linux/amd64",
            ),
        ),
        (
            &["--variant", "8"],
            2,
            value("8", "--variant <VARIANT>", "'8' is not the word that image configs have for this variant; use v8"),
        ),
        (&["--platform", "linux/arm", "--os", "linux"], 2, cannot("--platform <OS/ARCH[/VARIANT]>", "--os <OS>")),
        (
            &["--platform", "linux/arm", "--architecture", "arm"],
            2,
            cannot("--platform <OS/ARCH[/VARIANT]>", "--architecture <ARCH>"),
        ),
        (
            &["--platform", "linux/arm", "--variant", "v7"],
            2,
            cannot("--platform <OS/ARCH[/VARIANT]>", "--variant <VARIANT>"),
        ),
        (&["--clear", "env"], 2, value("env", "--clear <FIELD>", "'env' is not a field of image configs; use Env")),
        (&["--clear", ""], 2, value("", "--clear <FIELD>", "the name of the field is empty")),
        (&["--clear", "os"], 2, value("os", "--clear <FIELD>", "'os' cannot be cleared: an image needs it")),
        (
            &["--clear", "history"],
            2,
            value("history", "--clear <FIELD>", "'history' is removed by another flag; use --no-history"),
        ),
        (&["--clear", "Hostname"], 1, "Error: the config has no field 'Hostname'".to_owned()),
    ] {
        for command in ["generate", "update"] {
            // On `update config` it picks images, and goes with the flags that set a platform.
            if command == "update" && message.contains("'--platform <OS/ARCH[/VARIANT]>' cannot be used") {
                continue;
            }
            let command = ["layout", command, "config", "-p", "image"];
            let outcome = sandbox.run_words(command.iter().chain(words).copied());
            assert_eq!(
                (outcome.status, outcome.stderr.lines().next(), outcome.stdout.as_str()),
                (status, Some(message.as_str()), ""),
                "{command:?} {words:?}"
            );
        }
        assert_eq!(sandbox.tree(), before, "{words:?}");
    }
}

#[test]
fn words_for_platforms_that_no_one_knows_are_warned_of() {
    let sandbox = Sandbox::staged();
    let warning = |kind: &str, word: &str| format!("no {kind} is known as '{word}': engines may not run the image");
    for (words, flags) in
        [("generate config", "--platform plan10/vax"), ("update config", "--architecture vax --os plan10")]
    {
        let outcome = sandbox.run(&format!("layout {words} -p image -q {flags}"));
        let warnings = [warning("architecture", "vax"), warning("operating system", "plan10")];
        let text: String = warnings.iter().map(|warning| format!("Warning: {warning}\n")).collect();
        outcome.succeeds(&outcome.stdout, text);
        let value = sandbox.ok_json(&format!("layout {words} -p image --architecture vax --os plan10"));
        assert_eq!(value["warnings"], json!(warnings));
    }
    // A word that is there already is not warned of.
    let outcome = sandbox.run("layout update config -p image -q --user a");
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
}

#[test]
fn the_short_help_of_configs_leaves_most_flags_to_the_long_one() {
    let sandbox = Sandbox::empty();
    for words in ["generate config", "update config"] {
        let short = sandbox.ok(&format!("layout {words} -h"));
        let long = sandbox.ok(&format!("layout {words} --help"));
        for flag in ["--entrypoint <", "--cmd <", "--env <", "--user <", "--workdir <", "--expose <"] {
            assert!(short.contains(flag), "{short}");
        }
        for flag in ["--no-entrypoint", "--healthcheck <", "--config-file <", "--clear <"] {
            assert!(!short.contains(flag) && long.contains(flag), "{short}{long}");
        }
        // That of 'generate config' sets the platform; that of 'update config' picks images.
        assert_eq!(short.contains("--platform <"), words == "update config", "{short}");
    }
}

#[test]
fn an_error_names_the_flag_of_labels_that_was_typed() {
    let sandbox = Sandbox::built();
    for command in ["generate config", "update config"] {
        for flag in ["--label", "--annotation"] {
            sandbox.run(&format!("layout {command} -p image {flag} =x")).is(
                2,
                "",
                format!(
                    "error: invalid value '=x' for '{flag} <KEY=VALUE>': the key is empty; expected KEY=VALUE\n\n\
                     For more information, try '--help'.\n"
                ),
            );
        }
    }
    // Of a key that is given twice the last counts, with either flag.
    sandbox.ok("layout update config -p image --label a=1 --annotation a=2 --annotation b=1 --label b=2 -q");
    let config = sandbox.blob_json(sandbox.stage()["config"]["digest"].as_str().expect("a digest"));
    assert_eq!(config["config"]["Labels"], json!({"a": "2", "b": "2"}));
}
