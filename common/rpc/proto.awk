# SPDX-License-Identifier: MIT
# Makes C of a .proto file: awk -v out=header|tables -v header=common/rpc/x.pb.h -f proto.awk x.proto
# The header has a struct for each message, named as protoc-c names them (Package__V1__Message), its INIT, and its type; the
# tables are the types (common/rpc/message.h). Of proto3 it knows what our files have: scalars, strings, bytes, messages,
# repeated fields and map<string, string>. Anything else is an error, as are fields out of order.

function die(text)
{
	printf "%s:%d: %s\n", FILENAME, FNR, text > "/dev/stderr"
	failed = 1
	exit 1
}

# a_b.CamelCase: a_b__camel_case
function lower(name,    i, c, last, text)
{
	for (i = 1; i <= length(name); i++) {
		c = substr(name, i, 1)
		text = text (c == "." ? "__" : (c ~ /[A-Z]/ && last ~ /[a-z0-9]/ ? "_" : "") tolower(c))
		last = c
	}
	return text
}

# a.v1.CamelCase: A__V1__CamelCase
function camel(name,    n, i, part, text)
{
	n = split(name, part, ".")
	for (i = 1; i <= n; i++)
		text = text (i > 1 ? "__" : "") toupper(substr(part[i], 1, 1)) substr(part[i], 2)
	return text
}

BEGIN {
	split("string bytes bool int32 uint32 int64 uint64 double", names, " ")
	for (i in names) {
		kind[names[i]] = "GB_PB_" toupper(names[i])
		ctype[names[i]] = names[i] ~ /int/ ? names[i] "_t " : names[i] " "
		init[names[i]] = "0"
	}
	ctype["string"] = "char *"
	init["string"] = "(char *)gb_pb_empty"
	ctype["bytes"] = "struct gb_pb_bytes "
	init["bytes"] = "{ 0, NULL }"
	made = "/* Made from a .proto file by common/rpc/proto.awk. */\n"
	if (out == "header") {
		guard = "GB_" toupper(header)
		gsub(/[^A-Z]/, "_", guard)
		printf "%s#ifndef %s\n#define %s\n\n#include \"common/rpc/message.h\"\n", made, guard, guard
	} else if (out == "tables") {
		printf "%s#include \"%s\"\n", made, header
	} else {
		die("out is neither header nor tables")
	}
}

{ sub(/[ \t]*\/\/.*/, "") }
/^[ \t]*$/ || /^syntax = "proto3";$/ || /^[ \t]*reserved [0-9, to]*;$/ { next }

/^package [a-z0-9_.]+;$/ {
	package = substr($2, 1, length($2) - 1) "."
	next
}

/^import "[a-z0-9_\/]+\.proto";$/ {
	if (out == "header")
		printf "#include \"%s.pb.h\"\n", substr($2, 2, length($2) - 9)
	next
}

/^message [A-Za-z0-9]+ [{][}]?$/ {
	if (message != "" || package == "")
		die("a message within a message, or before the package is named")
	message = $2
	type = camel(package message)
	low = lower(package message)
	number = count = 0
	members = values = rows = types = ""
	if ($3 == "{")
		next
}

/^[}]$/ || /[{][}]$/ {
	if (message == "")
		die("no message to end")
	if (out == "header") {
		printf "\ntypedef struct %s %s;\nstruct %s {\n\tstruct gb_pb_message base;\n%s};\n", type, type, type, members
		printf "extern const struct gb_pb_type %s__descriptor;\n", low
		printf "#define %s__INIT { { &%s__descriptor }%s }\n", toupper(low), low, values
		printf "#define %s__init(message) gb_pb_init(&%s__descriptor, (message))\n", low, low
	} else {
		if (rows != "")
			printf "\nstatic const struct gb_pb_field %s__fields[] = {\n%s};\n", low, rows
		if (types != "")
			printf "static const struct gb_pb_type *const %s__types[] = {\n%s};\n", low, types
		printf "const struct gb_pb_type %s__descriptor = { \"%s\", %s, %s, sizeof(%s), %d };\n", low, message,
			rows != "" ? low "__fields" : "NULL", types != "" ? low "__types" : "NULL", type, count
		printf "_Static_assert(sizeof(%s) <= UINT16_MAX, \"offsets fit\");\n", type
	}
	message = ""
	next
}

/^[ \t]+(repeated +)?(map<string, *string>|[.A-Za-z0-9_]+) +[a-z0-9_]+ = [0-9]+;$/ && message != "" {
	sub(/string, */, "string,")
	repeated = $1 == "repeated"
	of = $(1 + repeated)
	name = $(2 + repeated)
	value = $(4 + repeated) + 0
	if (value <= number || value > 65535)
		die(name ": its number is not above the last one's, or above 65535")
	number = value
	index_of = 0
	if (of in kind) {
		k = kind[of]
		c = ctype[of]
		v = init[of]
	} else {
		map = of == "map<string,string>"
		repeated = repeated || map
		full = of ~ /^\./ ? substr(of, 2) : package of
		k = "GB_PB_MESSAGE"
		c = "struct " (map ? "gb_pb_entry" : camel(full)) " *"
		v = "NULL"
		index_of = gsub(/\n/, "\n", types)
		types = types "\t&" (map ? "gb_pb_entry" : lower(full)) "__descriptor,\n"
	}
	members = members (repeated ? "\tsize_t n_" name ";\n\t" c "*" : "\t" c) name ";\n"
	values = values ", " (repeated ? "0, NULL" : v)
	rows = rows sprintf("\t{ \"%s\", %d, offsetof(%s, %s), %s, %s, %d },\n", name, number, type, name,
		repeated ? "offsetof(" type ", n_" name ")" : "0", k, index_of)
	count++
	next
}

{ die("not understood: " $0) }

END {
	if (failed)
		exit 1
	if (message != "")
		die("the last message has no end")
	if (out == "header")
		printf "\n#endif\n"
}
