/* SPDX-License-Identifier: MIT */
/* common/base/jsonread.c and common/sandbox/manifest.c: JSON of others, the papers of images. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/cleanup.h"
#include "common/base/jsonread.h"
#include "common/sandbox/manifest.h"

#define DIGEST "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

#if defined __x86_64__
#define ARCH "amd64"
#elif defined __aarch64__
#define ARCH "arm64"
#elif defined __riscv
#define ARCH "riscv64"
#endif

static int text_of(const char *json, char **ret)
{
	struct gb_jsonread value;
	int r = gb_jsonread_text(json, strlen(json), &value);

	assert_int_equal(r, 0);
	return gb_jsonread_string(&value, ret);
}

static void what_is_json(void **state)
{
	static const char *const good[] = { "0", "-0", "12", "1.5", "-1.25e+10", "1E-2", "true", "false", "null", "\"\"",
		"\"\\u0041\\n\\/\"",
		"[]", "{}", " [ 1 , 2 ] ", "{\"a\":{\"b\":[{}]}}", "\t\r\n1\n", "\"\xff\"" };
	static const char *const bad[] = { "", " ", "01", "1.", ".5", "1e", "1e+", "-", "+1", "tru", "True", "nul", "\"",
					   "\"a", "\"\\x\"", "\"\\u12\"",
		"\"\\u12g4\"", "\"\n\"", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", "{\"a\"", "{\"a\":", "{\"a\":1",
		"{\"a\":1,}", "{a:1}",
		"{1:2}", "{\"a\" 1}", "1 2", "[]]", "nullx", "'a'", "\"\\" };
	struct gb_jsonread value;
	char deep[200];

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(good); i++)
		assert_int_equal(gb_jsonread_text(good[i], strlen(good[i]), &value), 0);
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++)
		assert_int_equal(gb_jsonread_text(bad[i], strlen(bad[i]), &value), -EBADMSG);
	/* Nothing behind the length is looked at, and a NUL is no blank. */
	assert_int_equal(gb_jsonread_text("12,", 2, &value), 0);
	assert_int_equal(gb_jsonread_text("1\0", 2, &value), -EBADMSG);
	memset(deep, '[', 65);
	memset(deep + 65, ']', 65);
	assert_int_equal(gb_jsonread_text(deep, 130, &value), -EBADMSG); /* 65 of them */
	assert_int_equal(gb_jsonread_text(deep + 1, 128, &value), 0);
}

static void members_and_items(void **state)
{
	static const char json[] = "{ \"a\" : [ 1 , [2,3], \"x,]\" ] , \"b\":{\"a\":\"inner\"}, \"\":7, "
				   "\"twice\":1, \"twice\":2, \"\\u0061\":\"trick\" }";
	struct gb_jsonread object, value, item = { 0 };

	(void)state;
	assert_int_equal(gb_jsonread_text(json, strlen(json), &object), 0);
	assert_true(gb_jsonread_is(&object, '{'));
	value = gb_jsonread_member(&object, "a");
	assert_true(gb_jsonread_next(&value, &item));
	assert_int_equal(item.end - item.at, 1);
	assert_int_equal(*item.at, '1');
	assert_true(gb_jsonread_next(&value, &item));
	assert_true(gb_jsonread_is(&item, '['));
	assert_true(gb_jsonread_next(&value, &item));
	assert_true(gb_jsonread_is(&item, '"'));
	assert_int_equal(item.end - item.at, 5);
	assert_false(gb_jsonread_next(&value, &item));
	value = gb_jsonread_member(&object, "twice");
	assert_int_equal(*value.at, '2'); /* the last of several */
	value = gb_jsonread_member(&object, "");
	assert_int_equal(*value.at, '7');
	value = gb_jsonread_member(&object, "b");
	assert_null(gb_jsonread_member(&value, "none").at);
	assert_non_null(gb_jsonread_member(&value, "a").at);
	/* What is no object has no members, what is no list no items, and what is not there is nothing. */
	item = (struct gb_jsonread){ 0 };
	assert_false(gb_jsonread_next(&value, &item));
	value = gb_jsonread_member(&value, "a");
	assert_null(gb_jsonread_member(&value, "a").at);
	value = gb_jsonread_member(&object, "none");
	assert_null(value.at);
	assert_false(gb_jsonread_is(&value, '"'));
}

static void strings(void **state)
{
	static const struct { const char *json, *text; } good[] = {
		{ "\"plain\"", "plain" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u0041\\u00e9\\u20ac\\uD83D\\uDe00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
	};
	/* A NUL, halves of pairs, a pair of two high ones, and what is not UTF-8: overlong, surrogates, too high, cut, alone. */
	static const char *const bad[] = { "\"a\\u0000b\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\\ud83d\\ud83d\"", "\"\\ud83dx\"",
		"\"\\ud83d\\n\"",
		"\"\xc0\x80\"", "\"\xe0\x80\x80\"", "\"\xf0\x80\x80\x80\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
		"\"\xf5\x80\x80\x80\"",
		"\"\xe2\x82\"", "\"\x80\"", "\"\xc3\"", "\"\xff\"", "7", "null", "[\"a\"]" };

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(good); i++) {
		gb_autofree char *text = NULL;
		assert_int_equal(text_of(good[i].json, &text), 0);
		assert_string_equal(text, good[i].text);
	}
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		char *text = NULL;
		assert_int_equal(text_of(bad[i], &text), -EBADMSG);
		assert_null(text);
	}
}

static void docker(void **state)
{
	static const char good[] = "[{\"Config\":\"" DIGEST ".json\",\"RepoTags\":null,"
				   "\"Layers\":[\"l1/layer.tar\",\"./blobs/sha256/" OTHER "\"]}]";
	static const struct { int code; const char *json, *says; } bad[] = {
		{ -EBADMSG, "{", "manifest.json is no JSON" },
		{ -EBADMSG, "[]", "names no image" },
		{ -EBADMSG, "{}", "names no image" },
		{ -EBADMSG, "[7]", "names no image" },
		{ -EOPNOTSUPP, "[{},{}]", "more than one image" },
		{ -EBADMSG, "[{\"Layers\":[]}]", "the configuration is no path" },
		{ -EBADMSG, "[{\"Config\":\"../../etc/passwd\",\"Layers\":[]}]", "the configuration is no path" },
		{ -EBADMSG, "[{\"Config\":\"\",\"Layers\":[]}]", "the configuration is no path" },
		{ -EBADMSG, "[{\"Config\":\"a\\u0000b\",\"Layers\":[]}]", "the configuration is no path" },
		{ -EBADMSG, "[{\"Config\":\"c\"}]", "no layers" },
		{ -EBADMSG, "[{\"Config\":\"c\",\"Layers\":\"l\"}]", "no layers" },
		{ -EBADMSG, "[{\"Config\":\"c\",\"Layers\":[\"l\",\"a/../../b\"]}]", "a layer is no path" },
		{ -EBADMSG, "[{\"Config\":\"c\",\"Layers\":[7]}]", "a layer is no path" },
	};
	gb_autofree struct gb_manifest *m = calloc(1, sizeof *m);
	struct gb_err err;

	(void)state;
	assert_non_null(m);
	assert_int_equal(gb_manifest_docker(good, strlen(good), m, &err), 0);
	assert_string_equal(m->config.path, DIGEST ".json");
	assert_string_equal(m->config.digest, DIGEST);
	assert_int_equal(m->layers_len, 2);
	assert_string_equal(m->layers[0].path, "l1/layer.tar");
	assert_string_equal(m->layers[0].digest, ""); /* nothing says what it should be but the configuration */
	assert_string_equal(m->layers[1].path, "blobs/sha256/" OTHER);
	assert_string_equal(m->layers[1].digest, OTHER);
	gb_manifest_free(m);
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		assert_int_equal(gb_manifest_docker(bad[i].json, strlen(bad[i].json), m, &err), bad[i].code);
		assert_non_null(strstr(err.msg, bad[i].says));
		assert_null(m->config.path);
		assert_int_equal(m->layers_len, 0);
	}
}

/* As many layers as there can be, and one more. */
static void too_many_layers(void **state)
{
	gb_autofree struct gb_manifest *m = calloc(1, sizeof *m);
	gb_autobuf struct gb_buf text = { 0 };
	struct gb_err err;

	(void)state;
	assert_non_null(m);
	(void)gb_buf_str(&text, "[{\"Config\":\"c\",\"Layers\":[\"l\"");
	for (int i = 1; i < GB_MANIFEST_LAYERS; i++)
		(void)gb_buf_str(&text, ",\"l\"");
	size_t len = text.len;
	(void)gb_buf_str(&text, "]}]");
	assert_int_equal(gb_manifest_docker(gb_buf_text(&text), text.len, m, &err), 0);
	assert_int_equal(m->layers_len, GB_MANIFEST_LAYERS);
	gb_manifest_free(m);
	text.len = len;
	(void)gb_buf_str(&text, ",\"l\"]}]");
	assert_int_equal(gb_manifest_docker(gb_buf_text(&text), text.len, m, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "too many layers"));
}

static void oci(void **state)
{
	static const char good[] = "{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:" DIGEST "\"},"
				   "\"layers\":[{\"digest\":\"sha256:" OTHER "\",\"size\":9}]}";
	static const struct { const char *json, *says; } bad[] = {
		{ "]", "its manifest is no JSON" },
		{ "[]", "the configuration: its digest is none of SHA-256" },
		{ "{\"config\":{\"digest\":\"" DIGEST "\"},\"layers\":[]}", "none of SHA-256" },
		{ "{\"config\":{\"digest\":\"sha512:" DIGEST "\"},\"layers\":[]}", "none of SHA-256" },
		{ "{\"config\":{\"digest\":\"sha256:" DIGEST "0\"},\"layers\":[]}", "none of SHA-256" },
		{ "{\"config\":{\"digest\":\"sha256:0123\"},\"layers\":[]}", "none of SHA-256" },
		{ "{\"config\":{\"digest\":\"sha256:../../../../../../../../../../../../../../../../../../../etc/passwd\"},\"layers\":[]}",
		  "none of SHA-256" },
		{ "{\"config\":{\"digest\":\"sha256:" DIGEST "\"}}", "no layers" },
		{ "{\"config\":{\"digest\":\"sha256:" DIGEST "\"},\"layers\":[{}]}", "a layer: its digest is none of SHA-256" },
	};
	gb_autofree struct gb_manifest *m = calloc(1, sizeof *m);
	struct gb_err err;

	(void)state;
	assert_non_null(m);
	assert_int_equal(gb_manifest_oci(good, strlen(good), m, &err), 0);
	assert_string_equal(m->config.path, "blobs/sha256/" DIGEST);
	assert_int_equal(m->layers_len, 1);
	assert_string_equal(m->layers[0].digest, OTHER);
	gb_manifest_free(m);
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		assert_int_equal(gb_manifest_oci(bad[i].json, strlen(bad[i].json), m, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, bad[i].says));
		assert_null(m->config.path);
	}
}

static void indexes(void **state)
{
#define ENTRY(digest, os, arch) "{\"digest\":\"sha256:" digest "\",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}}"
	static const struct { int code; const char *json, *says; } rows[] = {
		{ 0, "{\"manifests\":[{\"digest\":\"sha256:" DIGEST "\"}]}", NULL },
		{ 0, "{\"manifests\":[" ENTRY(OTHER, "linux", "s390x") "," ENTRY(DIGEST, "linux", ARCH) ","
		     ENTRY(OTHER, "unknown", "unknown") "]}", NULL },
		{ 1, "{\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"digest\":\"sha256:" DIGEST "\"}]}", NULL },
		{ 1, "{\"manifests\":[{\"mediaType\":\"application/vnd.docker.distribution.manifest.list.v2+json\","
		     "\"digest\":\"sha256:" DIGEST "\"}]}", NULL },
		{ -EOPNOTSUPP, "{\"manifests\":[" ENTRY(DIGEST, "linux", ARCH) "," ENTRY(OTHER, "linux", ARCH) "]}",
		  "more than one image for linux/" ARCH },
		{ -EBADMSG, "{\"manifests\":[" ENTRY(DIGEST, "windows", ARCH) "]}", "no image for linux/" ARCH },
		{ -EBADMSG, "{\"manifests\":[]}", "no image for" },
		{ -EBADMSG, "{\"manifests\":{}}", "no manifests" },
		{ -EBADMSG, "[]", "no manifests" },
		{ -EBADMSG, "", "is no JSON" },
		{ -EBADMSG, "{\"manifests\":[7]}", "none of SHA-256" },
	};

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		struct gb_blob blob = { 0 };
		struct gb_err err;
		assert_int_equal(gb_manifest_index(rows[i].json, strlen(rows[i].json), &blob, &err), rows[i].code);
		if (rows[i].says)
			assert_non_null(strstr(err.msg, rows[i].says));
		else
			assert_string_equal(blob.path, "blobs/sha256/" DIGEST);
		free(blob.path);
	}
}

static int configure(const char *json, Guestbox__V1__Image **ret, size_t *ret_len, struct gb_err *err)
{
	gb_autofree char (*layers)[GB_DIGEST + 1] = calloc(GB_MANIFEST_LAYERS, sizeof *layers);
	Guestbox__V1__Image *image = malloc(sizeof *image);

	assert_true(layers && image);
	guestbox__v1__image__init(image);
	int r = gb_manifest_config(json, strlen(json), image, layers, ret_len, err);
	for (size_t i = 0; r == 0 && i < *ret_len; i++)
		assert_string_equal(layers[i], i ? OTHER : DIGEST);
	*ret = image;
	return r;
}

static void configurations(void **state)
{
	static const char full[] = "{\"architecture\":\"" ARCH "\",\"config\":{\"WorkingDir\":\"//srv/./www/\",\"User\":\"www:www\",\"Env\":[\"A=1\",\"B=\"],"
		"\"Entrypoint\":[\"/bin/sh\",\"-c\"],\"Cmd\":[\"x\"]},\"rootfs\":{\"diff_ids\":[\"sha256:" DIGEST "\",\"sha256:" OTHER "\"]}}";
	static const char bare[] = "{\"config\":{\"Env\":null,\"Cmd\":null,\"User\":null,\"WorkingDir\":\"\"}}";
#define CONFIG(members) "{\"config\":{" members "}}"
	static const struct { const char *json, *says; } bad[] = {
		{ "nope", "its configuration is no JSON" },
		{ "{\"architecture\":\"s390x\"}", "for another machine than linux/" ARCH },
		{ CONFIG("\"WorkingDir\":7"), "WorkingDir is no text" },
		{ CONFIG("\"WorkingDir\":\"/a/../b\""), "WorkingDir: " },
		{ CONFIG("\"User\":\"a/b\""), "user \"a/b\"" },
		{ CONFIG("\"User\":[]"), "User is no text" },
		{ CONFIG("\"Env\":[\"=x\"]"), "is no variable" },
		{ CONFIG("\"Env\":[\"x\"]"), "is no variable" },
		{ CONFIG("\"Env\":{\"a\":1}"), "Env is no list" },
		{ CONFIG("\"Env\":[1]"), "Env: not a text" },
		{ CONFIG("\"Entrypoint\":[\"\"]"), "its first word is empty" },
		{ CONFIG("\"Entrypoint\":\"sh\""), "Entrypoint is no list" },
		{ "{\"rootfs\":{\"diff_ids\":[7]}}", "none of SHA-256" },
		{ "{\"rootfs\":{\"diff_ids\":[\"sha256:x\"]}}", "none of SHA-256" },
	};
	Guestbox__V1__Image *image;
	struct gb_err err;
	size_t n;

	(void)state;
	assert_int_equal(configure(full, &image, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(image->working_dir, "/srv/www");
	assert_string_equal(image->user, "www:www");
	assert_int_equal(image->n_env, 2);
	assert_string_equal(image->env[1], "B=");
	assert_int_equal(image->n_entrypoint, 2);
	assert_string_equal(image->cmd[0], "x");
	guestbox__v1__image__free_unpacked(image, NULL);
	assert_int_equal(configure(bare, &image, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_string_equal(image->working_dir, "");
	assert_int_equal(image->n_env + image->n_cmd + image->n_entrypoint, 0);
	guestbox__v1__image__free_unpacked(image, NULL);
	for (size_t i = 0; i < GB_ARRAY_LEN(bad); i++) {
		assert_int_equal(configure(bad[i].json, &image, &n, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, bad[i].says));
		guestbox__v1__image__free_unpacked(image, NULL);
	}
}

/* Lists and texts that are only meant to be large. */
static void too_much(void **state)
{
	static const struct { const char *head, *item, *foot, *says; int times; } rows[] = {
		{ "{\"config\":{\"Cmd\":[\"a\"", ",\"a\"", "]}}", "no list, or too long", 1024 },
		{ "{\"config\":{\"User\":\"", "0123456789abcdef", "\"}}", "too long", 4097 },
		{ "{\"rootfs\":{\"diff_ids\":[\"sha256:" DIGEST "\"", ",\"sha256:" DIGEST "\"", "]}}", "too many", GB_MANIFEST_LAYERS },
	};
	Guestbox__V1__Image *image;
	struct gb_err err;
	size_t n;

	(void)state;
	for (size_t i = 0; i < GB_ARRAY_LEN(rows); i++) {
		gb_autobuf struct gb_buf text = { 0 };
		(void)gb_buf_str(&text, rows[i].head);
		for (int k = 0; k < rows[i].times; k++)
			(void)gb_buf_str(&text, rows[i].item);
		(void)gb_buf_str(&text, rows[i].foot);
		assert_int_equal(configure(gb_buf_text(&text), &image, &n, &err), -EBADMSG);
		assert_non_null(strstr(err.msg, rows[i].says));
		guestbox__v1__image__free_unpacked(image, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_json),
		cmocka_unit_test(members_and_items),
		cmocka_unit_test(strings),
		cmocka_unit_test(docker),
		cmocka_unit_test(too_many_layers),
		cmocka_unit_test(oci),
		cmocka_unit_test(indexes),
		cmocka_unit_test(configurations),
		cmocka_unit_test(too_much),
	};

	gb_pb_start();
	return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
