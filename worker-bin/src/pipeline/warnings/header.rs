//! Well-known programs that take the first line of their input for a header.

use super::whole_input::{has_flag, unwrapped};

/// Programs that take a table's first line for its header unless they are told that there is none.
const TABLES: [&str; 13] = [
    "csvcut",
    "csvgrep",
    "csvjson",
    "csvlook",
    "csvsort",
    "csvstat",
    "csvformat",
    "csvsql",
    "csvstack",
    "csvjoin",
    "csvclean",
    "csvpy",
    "csvtk",
];

/// Ways of Miller to say that its input is a table with a header, or a block that begins with one.
const MILLER: [&str; 14] = [
    "--icsv",
    "--csv",
    "-c",
    "--icsvlite",
    "--csvlite",
    "--itsv",
    "--tsv",
    "-t",
    "--itsvlite",
    "--tsvlite",
    "--ipprint",
    "--pprint",
    "--iusv",
    "--iasv",
];

/// Why a program's result depends on a header that only the first batch has, if it is known to.
pub(super) fn reads_header(argv: &[String]) -> Option<String> {
    let (program, rest) = unwrapped(argv)?;
    let is = |words: &[&str]| rest.iter().any(|arg| words.contains(&arg.as_str()));
    let reads = match program {
        "mlr" => {
            let table = |arg: &String| {
                MILLER.contains(&arg.as_str()) || ["--c2", "--t2"].iter().any(|way| arg.starts_with(way))
            };
            rest.iter().any(table)
                && !is(&[
                    "--implicit-csv-header",
                    "--hi",
                    "--headerless-csv-input",
                    "--implicit-tsv-header",
                    "--implicit-pprint-header",
                ])
        }
        _ if TABLES.contains(&program) => !has_flag(rest, 'H', "--no-header-row"),
        "xsv" | "qsv" | "qsvlite" | "xan" => !has_flag(rest, 'n', "--no-headers"),
        "zsv" | "tsv-pretty" | "csv2json" | "csv-to-json" => true,
        _ if program.starts_with("tsv-") => has_flag(rest, 'H', "--header"),
        "q" | "textql" => has_flag(rest, 'H', "--skip-header") || is(&["-header", "--header"]),
        "samtools" | "bcftools" => true,
        _ => return None,
    };
    reads.then(|| {
        format!("{program} takes the first line of each batch for the header, which only the first batch has")
    })
}

/// Programs that print the header that they read, whatever they are told to do with it.
const PRINTING: [&str; 5] = ["csvcut", "csvgrep", "csvsort", "csvstack", "csvformat"];

/// Ways of Miller to say that its output is a table with a header.
const MILLER_PRINTS: [&str; 13] = [
    "--csv",
    "-c",
    "--csvlite",
    "--ocsv",
    "--ocsvlite",
    "--tsv",
    "-t",
    "--tsvlite",
    "--otsv",
    "--otsvlite",
    "--c2t",
    "--t2c",
    "--c2p",
];

/// Whether a program that is given a header is known to print one.
pub(super) fn prints_header(argv: &[String]) -> bool {
    let Some((program, rest)) = unwrapped(argv) else { return false };
    let is = |words: &[&str]| rest.iter().any(|arg| words.contains(&arg.as_str()));
    match program {
        "mlr" => {
            is(&MILLER_PRINTS)
                && !is(&[
                    "--headerless-csv-output",
                    "--ho",
                    "--headerless-tsv-output",
                    "--headerless-pprint-output",
                ])
                && !rest.iter().any(|arg| arg.starts_with("--oj") || arg == "--oxtab" || arg == "--onidx")
        }
        "csvformat" => !has_flag(rest, 'E', "--skip-header"),
        _ if PRINTING.contains(&program) => !has_flag(rest, 'H', "--no-header-row"),
        "xsv" | "qsv" | "qsvlite" | "xan" => {
            rest.first()
                .is_some_and(|verb| ["select", "search", "filter", "sort", "dedup"].contains(&verb.as_str()))
                && !has_flag(rest, 'n', "--no-headers")
        }
        _ if program.starts_with("tsv-") => has_flag(rest, 'H', "--header"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_print_a_header_are_known_and_left_alone_where_they_print_none() {
        let words = |command: &str| shell_words::split(command).unwrap();
        for command in [
            "mlr --csv filter '$a > 1'",
            "mlr --icsv --ocsv cat",
            "nice csvcut -c a",
            "xsv select a",
            "tsv-filter -H --gt 1:2",
            "csvformat -T",
        ] {
            assert!(prints_header(&words(command)), "{command}");
        }
        for command in [
            "mlr --icsv --ojson cat",
            "mlr --csv --headerless-csv-output cat",
            "csvjson",
            "csvstat",
            "xsv count",
            "tsv-filter --gt 1:2",
            "grep csvcut",
            "csvformat -E",
        ] {
            assert!(!prints_header(&words(command)), "{command}");
        }
    }

    #[test]
    fn programs_that_read_a_header_are_known_and_left_alone_where_they_are_told_of_none() {
        let words = |command: &str| shell_words::split(command).unwrap();
        for command in [
            "mlr --icsv --ojsonl cat",
            "mlr --c2p sort -f a",
            "nice mlr --tsv head",
            "csvcut -c state",
            "/opt/bin/csvgrep -c 1 -m x",
            "xsv select a",
            "qsv search x",
            "csvtk cut -f 1",
            "tsv-filter -H --gt 1:2",
            "q -H 'select 1'",
            "env A=1 csvjson",
        ] {
            assert!(reads_header(&words(command)).is_some(), "{command}");
        }
        for command in [
            "mlr --ijson --ojson cat",
            "mlr --icsv --implicit-csv-header cat",
            "mlr cat",
            "csvcut -H -c 1",
            "xsv select -n 1",
            "qsv --no-headers x",
            "tsv-filter --gt 1:2",
            "grep csvcut",
            "cut -d, -f1",
            "sh -c 'mlr --icsv cat'",
        ] {
            assert_eq!(reads_header(&words(command)), None, "{command}");
        }
    }
}
