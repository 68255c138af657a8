import { useEffect, useRef } from 'react';
import { useLocation } from 'react-router';

// Heading is a page's h1. It names the document, and after a change of page it
// takes the focus, so that a screen reader says where it is, as after a load.
export function Heading({ title }: { title: string }) {
  const ref = useRef<HTMLHeadingElement>(null);
  const { key } = useLocation();
  useEffect(() => {
    document.title = `${title} – Logto and a Go API`;
    if (key !== 'default') ref.current?.focus();
  }, [title, key]);
  return (
    <h1 ref={ref} tabIndex={-1}>
      {title}
    </h1>
  );
}
