/* Tree construction, by rows: which elements there are, and in which. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../tokenize.h"
#include "html/tree.h"

enum { NODES = 4096 };

static struct node {
    uint64_t key;
    enum tag tag;
    int parent;
} nodes[NODES];
static int node_count;
static struct tree tree;
static struct tokenizer tokenizer;
static size_t opened, closed;
static enum tag asks_close = TAG_OTHER; // of which elements; TAG_OTHER: of all

static void on_open(void *owner, struct element *element, enum tree_origin origin,
                    const struct formatting *from)
{
    (void)owner;
    (void)origin;
    (void)from;
    opened++;
    element->asks_close = asks_close == TAG_OTHER || asks_close == element->tag;
    if (node_count == NODES)
        return;
    element->notes.marks = (uint32_t)node_count + 1;
    nodes[node_count++] =
        (struct node){ element->key, (enum tag)element->tag,
                       element->parent < 0 ? -1
                                           : (int)tree.stack[element->parent].notes.marks - 1 };
}

static void on_close(void *owner, struct element *element)
{
    (void)owner;
    (void)element;
    closed++;
}

static void on_implied_end(void *owner, enum tag tag, const struct element_notes *notes)
{
    (void)owner;
    (void)tag;
    (void)notes;
}

static void on_moved(void *owner)
{
    (void)owner;
    for (int32_t i = 0; i < tree.depth; i++)
        if (tree.stack[i].notes.marks && tree.stack[i].parent >= 0)
            nodes[tree.stack[i].notes.marks - 1].parent =
                (int)tree.stack[tree.stack[i].parent].notes.marks - 1;
}

static void on_format(void *owner, struct formatting *formatting, const struct element *element)
{
    (void)owner;
    formatting->notes = element->notes;
}

static void on_forget(void *owner, struct formatting *formatting)
{
    (void)owner;
    (void)formatting;
}

static const struct tree_events events = {
    .on_open = on_open,
    .on_close = on_close,
    .on_implied_end = on_implied_end,
    .on_moved = on_moved,
    .on_format = on_format,
    .on_forget = on_forget,
};

static void take(void *owner, const struct token *token)
{
    struct span left = token->bytes;

    (void)owner;
    switch (token->kind) {
    case TOKEN_TEXT:
        while (left.size) {
            struct span piece = left;
            (void)tree_text(&tree, &piece);
            left = span_from(left, piece.size);
        }
        break;
    case TOKEN_START_TAG:
        tree_start_tag(&tree, token);
        if (tree.text_state != TOKENIZER_DATA)
            tokenizer_set_state(&tokenizer, tree.text_state, token->name);
        break;
    case TOKEN_END_TAG:
        tree_end_tag(&tree, token);
        break;
    case TOKEN_DOCTYPE:
        tree_doctype(&tree, token->bytes);
        break;
    default:
        break;
    }
    tokenizer.cdata_is_allowed = tree_is_foreign(&tree);
}

static void build(struct span text, unsigned cut)
{
    node_count = 0;
    opened = closed = 0;
    tokenizer_init(&tokenizer);
    tree_init(&tree, &events, NULL);
    tokenize(&tokenizer, text, cut, take, NULL);
}

static void done(void)
{
    tree_done(&tree);
    tokenizer_done(&tokenizer);
    assert_int_equal(opened, closed);
}

/* "html(head body(p))"; html, head and body are left off where nothing is said of them. */
static void write_node(struct buffer *to, int parent)
{
    bool has_any = false;

    for (int i = 0; i < node_count; i++) {
        if (nodes[i].parent != parent)
            continue;
        (void)buffer_printf(to, "%s%s",
                            has_any      ? " "
                            : parent < 0 ? ""
                                         : "(",
                            nodes[i].tag == TAG_OTHER ? "x" : tag_row(nodes[i].tag)->name);
        write_node(to, i);
        has_any = true;
    }
    if (has_any && parent >= 0)
        (void)buffer_append(to, SPAN(")"));
}

#define BODY(text) "html(head body(" text "))"

static const struct {
    const char *html, *want;
} cases[] = {
    { "", "" },
    { "x", "html(head body)" },
    { "<!doctype html><title>a</title>b", "html(head(title) body)" },
    { "<p>a<p>b", BODY("p p") },
    { "<p>a<div>b</div>c</p>", BODY("p div p") }, // "</p>" makes one
    { "<!doctype html><p>a<table><td>b", BODY("p table(tbody(tr(td)))") },
    { "<p>a<table><td>b", BODY("p(table(tbody(tr(td))))") }, // quirks
    { "<ul><li>a<li>b</ul>", BODY("ul(li li)") },
    { "<dl><dt>a<dd>b<dt>c</dl>", BODY("dl(dt dd dt)") },
    { "<select><option>a<option>b<optgroup><option>c</select>",
      BODY("select(option option optgroup(option))") },
    { "<table><tr><td>a<td>b<tr><th>c</table>", BODY("table(tbody(tr(td td) tr(th)))") },
    { "<table><caption>a<tr><td>", BODY("table(caption tbody(tr(td)))") },
    { "<b>a<p>b</b>c</p>", BODY("b p") }, // and a copy of b that is closed at once
    { "<a>a<a>b", BODY("a a") },
    { "<b><i>a</b>b</i>", BODY("b(i) i") },
    { "<h1>a<h2>b", BODY("h1 h2") },
    { "<button>a<button>b", BODY("button button") },
    { "<svg><path/><p>x", BODY("svg(x) p") },
    { "<svg><title><p>x</title></svg>", BODY("svg(title(p))") },
    { "<svg><foreignObject><div></div></foreignObject><g/></svg>",
      BODY("svg(foreignobject(div) x)") },
    { "<math><mi><b>x</b></mi></math>", BODY("math(mi(b))") },
    { "<template><td>a</template>", "html(head(template(td)))" },
    // The cell's marker hides that of the template, from which the link goes on.
    { "<template><a><table><td></template>b",
      "html(head(template(a(table(tbody(tr(td)))))) body(a))" },
    { "<frameset><frame></frameset>", "html(head frameset(frame))" },
    { "<form><form></form>", BODY("form") },
    { "<br></br>", BODY("br br") },
    { "<image>", BODY("img") },
    { "<noscript><p>x</noscript><p>", "html(head(noscript) body(p))" },
    { "<script><p></script><p>", "html(head(script) body(p))" },
    { "<div><p><span></div>x", BODY("div(p(span))") },
    { "</div><p></span></p>", BODY("p") },
    { "<p>1<b>2<p>3", BODY("p(b) p(b)") },
    { "<plaintext></plaintext><p>", BODY("plaintext") },
    { "<rt>a<rp>b", BODY("rt(rp)") },
    { "<ruby>a<rt>b<rp>c</ruby>", BODY("ruby(rt rp)") },
};

/* However it is cut. */
static void becomes(struct span html, const char *want)
{
    for (unsigned cut = 0; cut < STREAM_CUTS; cut++) {
        struct buffer got = { .limit_bytes = 10000 };

        build(html, cut);
        if (tree.depth == 0 && want[0]) // the end of an empty page opens them
            fail_msg("%.*s: nothing is open", SPAN_PRINT(html));
        write_node(&got, -1);
        done();
        if (!span_equal(buffer_span(&got), span_text(want)))
            fail_msg("%.*s, cut %u: %.*s", SPAN_PRINT(html), cut, SPAN_PRINT(buffer_span(&got)));
        buffer_release(&got);
    }
}

static void elements_are_where_a_browser_has_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        becomes(span_text(cases[i].html), cases[i].want);
}

/* NULs are ignored: a frameset may still come, as behind white space. */
static void nulls_are_no_text(void **state)
{
    static const struct {
        struct span html;
        const char *want;
    } some[] = {
        { SPAN("<x> \0<frameset>"), "html(head body(x) frameset)" },
        { SPAN("<x>\0 \0 <frameset>"), "html(head body(x) frameset)" },
        { SPAN("<x> \0x<frameset>"), BODY("x") },
        { SPAN("<head>\0<style></style>"), BODY("style") }, // but they bring the body
        { SPAN("</head>\0<link>"), BODY("link") },
        { SPAN("<table><colgroup>\0<col></table>"), BODY("table(colgroup colgroup(col))") },
        { SPAN("<i></i\0><b>"), BODY("i(b)") }, // of another name
        { SPAN("<script\0><b>"), BODY("x(b)") },
        { SPAN("<x\0></x\0\0><b></x\0><i>"), BODY("x(b) b(i)") },
    };

    (void)state;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        becomes(some[i].html, some[i].want);
    for (unsigned cut = 0; cut < STREAM_CUTS; cut++) { // behind the body they bring it back
        build(SPAN("<p></p></body> "), cut);
        assert_int_equal(tree_comment_parent(&tree), 0);
        done();
        build(SPAN("<p></p></body> \0"), cut);
        assert_int_equal(tree_comment_parent(&tree), 1);
        done();
    }
}

static void deep_is_full(void **state)
{
    struct buffer text = { .limit_bytes = 1 << 20 };

    (void)state;
    for (int more = 0; more < 2; more++) {
        text.size = 0;
        for (int i = 0; i < TREE_DEPTH_LIMIT - 2 + more; i++) // html and body are two
            (void)buffer_append(&text, SPAN("<i>"));
        node_count = 0;
        build(buffer_span(&text), 0);
        assert_int_equal(tree.is_full, more);
        assert_true(tree.depth <= TREE_DEPTH_LIMIT);
        done();
    }
    buffer_release(&text);
}

/* Formatting that is opened again and again: three alike are kept, so these are not. */
static void formatting_is_full(void **state)
{
    struct buffer text = { .limit_bytes = 1 << 20 };

    (void)state;
    for (int more = 0; more < 2; more++) {
        text.size = 0;
        for (int i = 0; i < TREE_FORMATTING_LIMIT + more; i++)
            (void)buffer_printf(&text, "<p><i id=%d></p>", i);
        node_count = 0;
        build(buffer_span(&text), 0);
        assert_int_equal(tree.is_full, more);
        assert_int_equal(tree.formatting_count, TREE_FORMATTING_LIMIT);
        done();
    }
    buffer_release(&text);
}

/* Elements that move up the stack, become ghosts or are open at the end keep asking. */
static void who_asks_is_told_of_the_end(void **state)
{
    (void)state;
    asks_close = TAG_FORM;
    build(SPAN("<p><form><div></form>x<b><p>y</b>z</div><i>"), 0);
    tree_done(&tree);
    tokenizer_done(&tokenizer);
    assert_int_equal(closed, 1);
    asks_close = TAG_B; // the adoption agency moves one, reconstruction makes another
    build(SPAN("<b><p>y</b>z<b></p>x"), 0);
    tree_done(&tree);
    tokenizer_done(&tokenizer);
    assert_int_equal(closed, 3);
    asks_close = TAG_OTHER;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_where_a_browser_has_them),
        cmocka_unit_test(who_asks_is_told_of_the_end),
        cmocka_unit_test(nulls_are_no_text),
        cmocka_unit_test(deep_is_full),
        cmocka_unit_test(formatting_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
