import { useEffect, useRef } from 'react';
import { useLocation } from 'react-router';
import { useSession } from './session';

// Heading is a page's h1. It names the document, and after a change of page, or a
// sign-out that the user didn't ask for, it takes the focus, so that a screen
// reader says where it is, as after a load.
export function Heading({ title }: { title: string }) {
  const ref = useRef<HTMLHeadingElement>(null);
  const { key } = useLocation();
  const { hasEnded } = useSession();
  useEffect(() => {
    document.title = `${title} – Logto and a Go API`;
    if (key !== 'default' || hasEnded) ref.current?.focus();
  }, [title, key, hasEnded]);
  return (
    <h1 ref={ref} tabIndex={-1}>
      {title}
    </h1>
  );
}
