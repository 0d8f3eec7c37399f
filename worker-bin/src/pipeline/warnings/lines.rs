//! Well-known programs to which several lines are one record.

use super::whole_input::{has_flag, unwrapped};

/// Programs for FASTA and FASTQ: two or four lines, or more, are one sequence.
const SEQUENCES: [&str; 14] = [
    "seqkit",
    "seqtk",
    "fastp",
    "cutadapt",
    "bioawk",
    "fastx_trimmer",
    "fastx_clipper",
    "fastq_quality_filter",
    "vsearch",
    "bwa",
    "minimap2",
    "bowtie2",
    "blastn",
    "trimmomatic",
];

/// Why a batch may end within what a program takes for one record, if it is known to.
pub(super) fn reads_lines_together(argv: &[String]) -> Option<String> {
    let (program, rest) = unwrapped(argv)?;
    let is = |word: &str| rest.iter().any(|arg| arg == word);
    let many = match program {
        _ if SEQUENCES.contains(&program) => "of FASTA or FASTQ several lines are one record",
        "paste" if has_flag(rest, 's', "--serial") => "-s joins all lines of one batch",
        "paste" if rest.iter().filter(|arg| *arg == "-").count() > 1 => "each - takes another line",
        "awk" | "gawk" | "mawk" | "nawk" | "original-awk"
            if has_flag(rest, 'f', "--file") || has_assignment(rest, "RS") =>
        {
            "its script is in a file, or its records are no lines: what of it spans lines, begins anew with each batch"
        }
        "sed" if has_flag(rest, 'f', "--file") || has_flag(rest, 'z', "--null-data") => {
            "its script is in a file, or its lines are no lines: what of it spans lines, begins anew with each batch"
        }
        "perl" if rest.iter().any(|arg| arg.starts_with("-0")) => "-0 joins lines",
        "xmllint" | "xmlstarlet" | "xsltproc" | "pup" | "yq" => "a document has several lines",
        "column" | "fmt" | "pr" => "it lays out the lines of one batch together",
        "jq" | "gojq" | "jaq" if has_flag(rest, 'n', "--null-input") => "inputs are those of one batch",
        "python" | "python3" if is("json.tool") => "a document has several lines",
        _ => return None,
    };
    Some(many.to_owned())
}

fn has_assignment(args: &[String], name: &str) -> bool {
    args.iter().any(|arg| {
        let arg = arg.strip_prefix("-v").unwrap_or(arg);
        arg.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_to_which_several_lines_are_one_record_are_known() {
        let words = |command: &str| shell_words::split(command).unwrap();
        for command in [
            "paste - -",
            "paste -d, - - -",
            "paste -sd,",
            "seqkit seq -r",
            "nice fastp --stdin",
            "awk -f prog.awk",
            "gawk --file=x",
            "awk -v RS= '{print $1}'",
            "awk -vRS='' 1",
            "sed -f x.sed",
            "sed -z 's/a/b/'",
            "perl -0777 -ne 1",
            "column -t",
            "jq -n '[inputs]'",
            "python3 -m json.tool",
            "xmllint --format -",
        ] {
            assert!(reads_lines_together(&words(command)).is_some(), "{command}");
        }
        for command in [
            "paste - other",
            "awk '{print $1}'",
            "awk -F, '{print}'",
            "sed 's/a/b/'",
            "perl -pe 1",
            "jq .a",
            "python3 x.py",
            "cat",
            "awk -- -f",
            "grep paste",
        ] {
            assert_eq!(reads_lines_together(&words(command)), None, "{command}");
        }
    }
}
