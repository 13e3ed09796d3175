# SPDX-License-Identifier: MIT
# bench/report's own: what the benches said becomes one report, the report a table and a plot.

def median: sort | length as $n | (.[($n - 1) / 2 | floor] + .[$n / 2 | floor]) / 2;
def unique_in_order: reduce .[] as $x ([]; if index([$x]) then . else . + [$x] end);
def more_is_better: endswith("/s");

# ---- the report, from the lines of all benches ----

# The same WHAT of the same WHO, said more than once, is one figure.
def figures:
	[.[] | select(.who)] | to_entries | group_by([.value.bench, .value.what, .value.who]) | sort_by(.[0].key) | map(map(.value)) |
	map(.[0] + { value: (map(.value) | median), least: (map(.least) | min), most: (map(.most) | max), n: (map(.n) | add) });

# Whether a target is met: by medians.
def judged($figures):
	. as $t |
	(first($figures[] | select(.bench == $t.bench and .what == $t.what and .who == "guestbox").value) // null) as $ours |
	(if .target.peer == null then 1 else
		first($figures[] | select(.bench == $t.bench and .what == $t.what and .who == $t.target.peer).value) // null end) as $peer |
	{ bench, what } + .target +
	(if $ours == null or $peer == null or $peer == 0 then { ratio: null, met: null } else
		($ours / $peer) as $ratio |
		{ ratio: $ratio, met: (if .target.bound == "at-most" then $ratio <= .target.number else $ratio >= .target.number end) } end);

def report:
	. as $lines | figures as $figures |
	{
		report: $kind, made: $made, guestbox: $version,
		machine: ({ cpu: $cpu, cpus: $cpus, architecture: $arch, memory_mib: $memory, kernel: $kernel } +
			([$lines[] | select(.fact).fact] | group_by(.name) | map({ (.[0].name): (map(.value) | unique | join("; ")) }) | add // {}) +
			{ versions: $versions }),
		runs: [$lines[] | select(.run).run] |
			map(.bench as $b | . + { done: [$lines[] | select(.bench == $b and .done).done],
				skipped: [$lines[] | select(.bench == $b and .skipped).skipped] }),
		figures: $figures,
		targets: [$lines[] | select(.target)] | unique | map(judged($figures))
	};

# ---- the table ----

def thousands: tostring | [while(. != ""; .[:-3]) | .[-3:]] | reverse | join(",");
def number:
	if . < 0 then "-" + (-. | number)
	elif . >= 1000 then round | thousands
	elif . >= 100 then round | tostring
	elif . >= 10 then . * 10 | round / 10 | tostring
	else . * 100 | round / 100 | tostring end;
def duration: if . < 120 then "\(.) s" else "\(. / 60 | floor) min \(. % 60) s" end;
def cell: gsub("\\|"; "\\|") | gsub("\n"; " ");
def bound: { "at-most": "at most", "at-least": "at least" }[.];
def verdict: if . == null then "not measured" elif . then "met" else "**missed**" end;
def result: if .status != 0 then "**failed** (status \(.status))" elif (.skipped | length) > 0 then "skipped: " + (.skipped | join("; ")) else "ok" end;
# What it says it has done; its last line where that is all there is, or says why it failed.
def done: .done + (if .status != 0 or (.done | length) == 0 then [.last_line] else [] end) | join("; ");
def of_all: map(select(. == true)) as $good | "\($good | length) of \(length)";
def codes: [.runs[].code | values | select(. != "")] | unique | if length > 0 then ", commit " + join(", ") else "" end;

def machine:
	.machine | "\(.cpu), \(.cpus) processors, \(.memory_mib | number) MiB, \(.architecture), Linux \(.kernel)" +
		(if .accelerator then "; virtual machines by QEMU, \(.accelerator)" else "" end) + ".\n" +
	([.versions | to_entries[] | "\(.key) \(.value)"] | join(", ")) + ".";

# One line for each peer of a figure; the targets stand with the peer that they name.
def lines_of($report; $figures):
	$figures[0] as $f | [$report.targets[] | select(.bench == $f.bench and .what == $f.what)] as $targets |
	first($figures[] | select(.who == "guestbox")) // null | . as $ours |
	(if $ours then "\($ours.value | number) \($f.unit)" +
		(if $ours.n > 1 then " (\($ours.least | number) to \($ours.most | number))" else "" end) else "-" end) as $text |
	[($targets[] | select(.peer == null) | { peer: "", ratio: "", target: "\(.bound | bound) \(.number | number) \($f.unit)", met: (.met | verdict) }),
	($figures[] | select(.who != "guestbox") | . as $peer |
		([$targets[] | select(.peer == $peer.who)][0] // null) as $target |
		{ peer: "\(.who): \(.value | number) \(.unit)", ratio: (if $ours and .value != 0 then $ours.value / .value | number else "" end),
			target: (if $target then "\($target.bound | bound) \($target.number)" else "" end),
			met: (if $target then $target.met | verdict else "" end) })] |
	(if length == 0 then [{ peer: "", ratio: "", target: "", met: "" }] else . end) | to_entries[] |
	"| \(if .key == 0 then $f.what | cell else "" end) | \(if .key == 0 then $text else "" end) | \(.value.peer | cell) | \(.value.ratio) | \(.value.target) | \(.value.met) |";

def bench_table:
	. as $report |
	"# Bench\n\nMade \(.made) by `make bench`, \(.guestbox)\(codes).\n\n\(machine)\n\nEach figure is a median, in brackets the least and the most. " +
	"The ratio is guestbox's figure divided by the peer's.\n" +
	"\([.targets[].met | values] | of_all) targets met.\n\n" +
	"| bench | result | took | load before, after | when |\n|---|---|---|---|---|\n" +
	([.runs[] | "| \(.bench) | \(result | cell) | \(.seconds | duration) | \(.load | map(tostring) | join(", ")) | \(.begin) |\n"] | add // "") + "\n" +
	([.figures | group_by(.bench)[] | "## \(.[0].bench)\n\n| figure | guestbox | peer | ratio | target | |\n|---|---|---|---|---|---|\n" +
		(. as $all | map(.what) | unique_in_order | map(. as $what | [lines_of($report; $all | map(select(.what == $what)))] | join("\n")) | join("\n"))
		] | join("\n\n"));

def torture_table:
	"# Torture\n\nMade \(.made) by `make torture`, \(.guestbox).\n\n\(machine)\n\n" +
	"\([.runs[] | result == "ok"] | of_all) proofs ran whole and ended well.\n\n" +
	"| proof | result | took | load before, after | done | when (commit) |\n|---|---|---|---|---|---|\n" +
	([.runs[] | "| \(.bench) | \(result | cell) | \(.seconds | duration) | \(.load | map(tostring) | join(", ")) | \(done | cell) | \(.begin)\(.code // "" | if . == "" then "" else " (\(.))" end) |"] | join("\n"));

def table: if .report == "torture" then torture_table else bench_table end;

# ---- the plot ----

def green: "#2e8b57"; def red: "#c0392b"; def grey: "#7f8c9a";

# Rows {group, label, sub, at (log10 of what the bar shows), mark (a tick, or null), colour, text} on an axis of decades.
def drawing($title; $subtitle; $left; $zero; $ticks):
	. as $rows | ([.[].at, (.[].mark | values), $zero] | min | floor) as $low | ([.[].at, (.[].mark | values), $zero + 0.1] | max | ceil) as $high |
	380 as $x0 | 860 as $x1 | (($x1 - $x0) / ($high - $low)) as $scale |
	def x: (. - $low) * $scale + $x0 | . * 10 | round / 10;
	(reduce .[] as $r ({ y: 96, group: null, out: [] };
		(if $r.group != .group then .y += 12 | .out += ["<text x=\"16\" y=\"\(.y + 12)\" class=\"g\">\($r.group | @html)</text>"] | .y += 20 | .group = $r.group else . end) |
		.y as $y | ([$r.at, $zero] | min | x) as $from | ([$r.at, $zero] | max | x) as $to |
		.out += ["<text x=\"16\" y=\"\($y + 13)\" class=\"l\">\($r.label | @html)<tspan class=\"s\" dx=\"6\">\($r.sub | @html)</tspan></text>",
			"<rect x=\"\($from)\" y=\"\($y + 3)\" width=\"\([$to - $from, 1] | max)\" height=\"12\" rx=\"2\" fill=\"\($r.colour)\"/>",
			(if $r.mark then "<path d=\"M\($r.mark | x) \($y)v18\" stroke=\"#111\" stroke-width=\"2\"/>" else empty end),
			"<text x=\"\($x1 + 12)\" y=\"\($y + 13)\" class=\"v\">\($r.text | @html)</text>"] | .y += 20)) as $body |
	($body.y + 16) as $bottom |
	"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1100\" height=\"\($bottom + 34)\" viewBox=\"0 0 1100 \($bottom + 34)\" font-family=\"sans-serif\">\n" +
	"<style>.t{font-size:18px;font-weight:bold}.g{font-size:13px;font-weight:bold;fill:#1f3a5f}.l,.v{font-size:12px}.s{fill:#777}.a{font-size:11px;fill:#555}</style>\n" +
	"<rect width=\"1100\" height=\"\($bottom + 34)\" fill=\"#fff\"/>\n<text x=\"16\" y=\"28\" class=\"t\">\($title | @html)</text>\n" +
	([$subtitle | to_entries[] | "<text x=\"16\" y=\"\(48 + .key * 16)\" class=\"a\">\(.value | @html)</text>\n"] | add) +
	([range($low; $high + 1) | "<path d=\"M\(x) 92V\($bottom)\" stroke=\"\(if . == $zero then "#333" else "#ddd" end)\"/>" +
		"<text x=\"\(x)\" y=\"\($bottom + 16)\" text-anchor=\"middle\" class=\"a\">\($ticks[. + 6 | tostring] // "" | @html)</text>\n"] | add) +
	($body.out | join("\n")) + "\n<text x=\"16\" y=\"\($bottom + 16)\" class=\"a\">\($left | @html)</text>\n</svg>";

# How many times better than the peer (or than the target, where that is a number of its own).
def bench_rows:
	. as $report | .figures | map(select(.who == "guestbox")) | map(. as $f |
		[$report.targets[] | select(.bench == $f.bench and .what == $f.what and .ratio != null)] as $targets |
		(if $f.unit | more_is_better then 1 else -1 end) as $sign |
		($targets[] | select(.peer == null) | { sub: "beside the target, \(.number | number) \($f.unit)", ratio: (.ratio / .number), number: 1, met: .met }),
		($report.figures[] | select(.bench == $f.bench and .what == $f.what and (.who | startswith("guestbox") | not) and .value > 0) | . as $peer |
			([$targets[] | select(.peer == $peer.who)][0] // null) as $target |
			select($target or ([$targets[] | select(.peer)] | length == 0)) |
			{ sub: "beside \(.who)", ratio: ($f.value / .value), number: $target.number, met: $target.met }) |
		select(.ratio > 0) |
		{ group: $f.bench, label: $f.what, sub, at: (.ratio | log10 * $sign), mark: (if .number then .number | log10 * $sign else null end),
			colour: (if .met == null then grey elif .met then green else red end),
			text: ((.ratio | log10 * $sign) as $l | (if $l < 0 then -$l else $l end | exp10 | number) +
				(if $l < 0 then " times worse" else " times better" end) + (if .met == false then ", target missed" elif .met then ", target met" else "" end)) });

def plot:
	(.machine | "\(.cpu), \(.cpus) processors, \(.memory_mib | number) MiB, Linux \(.kernel)" + (if .accelerator then "; QEMU \(.accelerator)" else "" end)) as $machine |
	if .report == "torture" then
		"Made \(.made). Green: it ended well; red: it failed; grey: it, or a part of it, cannot run here." as $legend |
		[.runs[] | { group: "long proofs", label: .bench, sub: "", at: ([.seconds, 1] | max | log10), mark: null,
			colour: (if .status != 0 then red elif (.skipped | length) > 0 then grey else green end),
			text: ((.seconds | duration) + (if .status != 0 then ", failed" elif (.skipped | length) > 0 then ", skipped" else "" end)) }] |
		drawing("guestbox: the long proofs, and what each took"; [$machine, $legend]; "";
			0; { "6": "1 s", "7": "10 s", "8": "100 s", "9": "1,000 s", "10": "10,000 s", "11": "100,000 s" })
	else
		("Made \(.made). Green: the target is met; red: missed; grey: without one. The black mark is the target.") as $legend |
		bench_rows |
		if length == 0 then [{ group: "no figures", label: "", sub: "", at: 0, mark: null, colour: grey, text: "" }] else . end |
		drawing("guestbox beside its peers: how many times better (right) or worse (left)"; [$machine, $legend]; "";
			0; { "3": "1/1,000", "4": "1/100", "5": "1/10", "6": "1", "7": "10", "8": "100", "9": "1,000", "10": "10,000" })
	end;
