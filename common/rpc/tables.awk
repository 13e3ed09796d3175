# SPDX-License-Identifier: MIT
# What protoc-c writes, with its descriptors as rows of six bytes that gb_pb_start() fills memory from (tables.h).
#   awk -v out=common/rpc/own -f tables.awk raw/common/rpc/own.pb-c.c raw/common/rpc/own.pb-c.h

function stop(what)
{
	print FILENAME ":" FNR ": " what ": not what protoc-c 1.4 writes" >"/dev/stderr"
	failed = 1
	exit 1
}

function bare(line)
{
	sub(/\/\*.*/, "", line)
	gsub(/^ +|[ ,]+$/, "", line)
	return line
}

# The member of a struct that offsetof() tells, or 0.
function place(line)
{
	if (line !~ /^(0|offsetof\([A-Za-z0-9_]+, [a-z0-9_]+\))$/)
		stop(line)
	return line
}

# "NAME" as one line of many in a string.
function quoted(name)
{
	if (name !~ /^"[A-Za-z0-9_]+"$/)
		stop(name)
	return "\t" substr(name, 1, length(name) - 1) "\\0\"\n"
}

function field(    want)
{
	if (n != 10 || row[3] !~ /^PROTOBUF_C_LABEL_/ || row[4] !~ /^PROTOBUF_C_TYPE_/)
		stop("a field")
	want = row[4] == "PROTOBUF_C_TYPE_STRING" ? "&protobuf_c_empty_string" : "NULL"
	if (row[8] != want)
		stop("a field whose default is " row[8])
	if ((row[4] == "PROTOBUF_C_TYPE_MESSAGE") != (row[7] ~ /^&[a-z0-9_]+__descriptor$/) || row[4] == "PROTOBUF_C_TYPE_ENUM")
		stop("a field of " row[7])
	names = names quoted(row[1])
	fields = fields "\t{ " row[2] ", " row[4] ", " row[3] ", " place(row[6]) ", " row[9] ", " place(row[5]) " },\n"
	if (row[7] != "NULL")
		inner = inner "\t" row[7] ",\n"
	n_fields++
	in_message++
}

FNR == 1 {
	base = out
	sub(/.*\//, "", base)
	file = out (++n_files == 1 ? ".pb-c.c" : ".pb-c.h")
	printf "" >file
}

# ---- the code: fields, their ranges and the message of them, in turn ----

n_files == 1 && /^static const ProtobufCFieldDescriptor / { part = "fields"; in_message = 0; next }
n_files == 1 && /^static const ProtobufCIntRange / { part = "ranges"; next }
n_files == 1 && /^static const unsigned [a-z0-9_]+__field_indices_by_name\[\]/ { part = "order"; next }
n_files == 1 && /^const ProtobufCMessageDescriptor / {
	part = "message"
	n = 0
	index_of[$3] = n_types + 0
	next
}
part == "message" && /^};$/ {
	if (n != 12 || row[1] != "PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC" || row[6] !~ /^sizeof\([A-Za-z0-9_]+\)$/ || row[7] != in_message)
		stop("a message")
	# Its own name goes before its fields': they are read in this order.
	all_names = all_names quoted(row[3]) names
	types = types "\t{ " row[6] ", " row[7] " },\n"
	names = part = ""
	in_message = 0
	n_types++
	next
}
part == "message" { if ($0 != "{") row[++n] = bare($0); next }
part == "fields" && /^  [{]$/ { n = 0; next }
part == "fields" && /^  },$/ { field(); next }
part == "ranges" && /^  [{]/ { n_ranges++; next }
part != "" && /^};$/ { part = ""; next }
part == "fields" { if ($0 != "{") row[++n] = bare($0); next }
part != "" { next }
n_files == 1 && /^#define [a-z0-9_]+__(field_descriptors|field_indices_by_name|number_ranges) NULL$/ { in_message = 0; next }
n_files == 1 && /__(descriptor|field_descriptors)\[|Enum(Value|Descriptor)/ { stop($0) }

# ---- the header: a message's descriptor is an element of an array ----

n_files == 2 && /^extern const ProtobufCMessageDescriptor / {
	sub(/;/, "", $4)
	if (!($4 in index_of))
		stop($4)
	if (!told++)
		print "extern struct gb_pb_" base " {\n\tProtobufCMessageDescriptor types[" n_types "];\n" \
			"\tProtobufCFieldDescriptor fields[" n_fields "];\n\tProtobufCIntRange ranges[" n_ranges "];\n" \
			"} __attribute__((aligned(GB_PB_PAGE))) gb_pb_" base ";" >file
	print "#define " $4 " gb_pb_" base ".types[" index_of[$4] "]" >file
	next
}
{ print >file }
/^#include <protobuf-c\/protobuf-c.h>$/ { print "#include \"common/rpc/tables.h\"" >file }

END {
	if (failed)
		exit 1
	if (told != n_types || !told)
		stop(n_types " messages and " told " in the header")
	file = out ".pb-c.c"
	print "\n#pragma GCC diagnostic error \"-Woverflow\" /* what does not fit into a row */\n" \
		"static const struct gb_pb_field_row fields[] = {\n" fields "};\n" \
		"static const struct gb_pb_type_row types[] = {\n" types "};\n" \
		"static const ProtobufCMessageDescriptor *const inner[] = {\n" inner "\tNULL,\n};\n" \
		"static const char names[] =\n" all_names "\t;\n" \
		"struct gb_pb_" base " gb_pb_" base ";\n" \
		"static const struct gb_pb_tables tables = {\n" \
		"\tnames, types, fields, inner, " n_types ",\n" \
		"\tgb_pb_" base ".types, gb_pb_" base ".fields, gb_pb_" base ".ranges, sizeof gb_pb_" base ",\n};\n" \
		"static const struct gb_pb_tables *const listed __attribute__((section(\"gb_pb_tables\"), used)) = &tables;" >file
}
