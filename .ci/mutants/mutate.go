package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mutant is one change of one file.
type mutant struct {
	file       string // from the module's root, with slashes
	line       int
	function   string // or method, constant, variable, type
	start, end int    // the bytes of the file that text stands for
	text       string
	was, is    string // the lines that it changes, white space squeezed
	pkg        *pkg
}

// operators gives for an operator those that it is changed to: a comparison's
// neighbour, at the boundary, and its negation.
var operators = map[token.Token][]token.Token{
	token.LSS: {token.LEQ, token.GEQ}, token.GEQ: {token.GTR, token.LSS},
	token.GTR: {token.GEQ, token.LEQ}, token.LEQ: {token.LSS, token.GTR},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL},
	token.LAND: {token.LOR}, token.LOR: {token.LAND},
	token.ADD: {token.SUB}, token.SUB: {token.ADD}, token.MUL: {token.QUO}, token.QUO: {token.MUL},
	token.SHL: {token.SHR}, token.SHR: {token.SHL},
	token.ADD_ASSIGN: {token.SUB_ASSIGN}, token.SUB_ASSIGN: {token.ADD_ASSIGN},
	token.MUL_ASSIGN: {token.QUO_ASSIGN}, token.QUO_ASSIGN: {token.MUL_ASSIGN},
	token.BREAK: {token.CONTINUE}, token.CONTINUE: {token.BREAK},
}

// mutate lists all mutants of a file, in the order of the file; none if it is a
// generated one.
func mutate(root, path string) ([]mutant, error) {
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	name, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	if ast.IsGenerated(f) {
		return nil, nil
	}
	m := &mutator{file: filepath.ToSlash(name), src: string(src), pos: fset.File(f.Pos()), kept: map[ast.Stmt]bool{}}
	for _, decl := range f.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			m.function = decl.Name.Name
			if decl.Recv != nil {
				m.function = receiver(decl.Recv.List[0].Type) + "." + m.function
			}
			ast.Inspect(decl, m.visit)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					m.function = spec.Names[0].Name
				case *ast.TypeSpec:
					m.function = spec.Name.Name
				}
				ast.Inspect(spec, m.visit)
			}
		}
	}
	return m.all, nil
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return "?"
}

// mutator collects the mutants of a file.
type mutator struct {
	file, src, function string
	pos                 *token.File
	kept                map[ast.Stmt]bool // that can't be left out
	all                 []mutant
}

func (m *mutator) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.ADD && (isText(n.X) || isText(n.Y)) {
			break
		}
		m.operator(n.OpPos, n.Op)
		if n.Op == token.LAND || n.Op == token.LOR {
			for _, x := range []ast.Expr{n.X, n.Y} {
				if _, ok := ast.Unparen(x).(*ast.BinaryExpr); !ok {
					m.negate(x)
				}
			}
		}
	case *ast.UnaryExpr:
		if n.Op == token.NOT {
			m.replace(n.OpPos, n.X.Pos(), "")
		}
	case *ast.BasicLit:
		if n.Kind == token.INT || n.Kind == token.CHAR || n.Kind == token.FLOAT {
			text := "(" + n.Value + " + 1)"
			if i, err := strconv.ParseInt(n.Value, 0, 64); err == nil {
				text = strconv.FormatInt(i+1, 10)
			}
			m.replace(n.Pos(), n.End(), text)
		}
	case *ast.Ident:
		switch n.Name {
		case "true":
			m.replace(n.Pos(), n.End(), "false")
		case "false":
			m.replace(n.Pos(), n.End(), "true")
		}

	case *ast.IfStmt:
		m.negate(n.Cond)
		if last := len(n.Body.List) - 1; last >= 0 {
			if ret, ok := n.Body.List[last].(*ast.ReturnStmt); ok {
				m.remove(ret)
			}
		}
	case *ast.ForStmt:
		m.negate(n.Cond)
	case *ast.SwitchStmt:
		m.cases(n.Body.List)
		for _, stmt := range n.Body.List {
			clause := stmt.(*ast.CaseClause)
			for i, x := range clause.List {
				if n.Tag == nil {
					m.negate(x)
				}
				if i > 0 {
					m.replace(clause.List[i-1].End(), x.End(), "")
				} else if len(clause.List) > 1 {
					m.replace(x.Pos(), clause.List[1].Pos(), "")
				}
			}
		}
	case *ast.TypeSwitchStmt:
		m.kept[n.Assign] = true
		m.cases(n.Body.List)
	case *ast.SelectStmt:
		m.cases(n.Body.List)
		for _, stmt := range n.Body.List {
			m.kept[stmt.(*ast.CommClause).Comm] = true
		}

	case *ast.AssignStmt:
		m.operator(n.TokPos, n.Tok)
		if n.Tok != token.DEFINE {
			m.remove(n)
		}
	case *ast.BranchStmt:
		m.operator(n.TokPos, n.Tok)
	case *ast.ExprStmt, *ast.DeferStmt, *ast.GoStmt, *ast.IncDecStmt, *ast.SendStmt:
		m.remove(n.(ast.Stmt))
	}
	return true
}

// isText reports whether x is a string for sure: what is no number doesn't build
// with another operator than +.
func isText(x ast.Expr) bool {
	switch x := ast.Unparen(x).(type) {
	case *ast.BasicLit:
		return x.Kind == token.STRING
	case *ast.BinaryExpr:
		return isText(x.X) || isText(x.Y)
	}
	return false
}

func (m *mutator) operator(at token.Pos, op token.Token) {
	for _, other := range operators[op] {
		m.replace(at, at+token.Pos(len(op.String())), other.String())
	}
}

// negate turns a condition round, unless another mutant of it does that.
func (m *mutator) negate(cond ast.Expr) {
	switch x := ast.Unparen(cond).(type) {
	case nil:
		return
	case *ast.UnaryExpr:
		if x.Op == token.NOT {
			return
		}
	case *ast.BinaryExpr:
		if x.Op != token.LAND && x.Op != token.LOR {
			return
		}
	}
	m.replace(cond.Pos(), cond.End(), "!("+m.src[m.pos.Offset(cond.Pos()):m.pos.Offset(cond.End())]+")")
}

// cases leaves out each clause of a switch or select that has several.
func (m *mutator) cases(clauses []ast.Stmt) {
	if len(clauses) > 1 {
		for _, clause := range clauses {
			m.remove(clause)
		}
	}
}

func (m *mutator) remove(stmt ast.Stmt) {
	if !m.kept[stmt] {
		m.replace(stmt.Pos(), stmt.End(), "")
	}
}

func (m *mutator) replace(from, to token.Pos, text string) {
	start, end := m.pos.Offset(from), m.pos.Offset(to)
	first := strings.LastIndexByte(m.src[:start], '\n') + 1
	last := len(m.src)
	if i := strings.IndexByte(m.src[end:], '\n'); i >= 0 {
		last = end + i
	}
	m.all = append(m.all, mutant{
		file: m.file, line: m.pos.Line(from), function: m.function, start: start, end: end, text: text,
		was: squeeze(m.src[first:last]), is: squeeze(m.src[first:start] + text + m.src[end:last]),
	})
}

// squeeze makes one line of several, and leaves out the middle of a long one.
func squeeze(s string) string {
	const most = 200
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		s = string(r[:most/2]) + " … " + string(r[len(r)-most/2:])
	}
	if s == "" {
		return "(removed)"
	}
	return s
}
