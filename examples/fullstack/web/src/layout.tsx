import { useLogto } from '@logto/react';
import { useEffect, useState } from 'react';
import { NavLink, Outlet } from 'react-router';
import { useSession } from './session';
import { useAttempt } from './use-attempt';

export function Layout() {
  const { isAuthenticated, isLoading, signOut, getIdTokenClaims } = useLogto();
  const [{ busy = false, failure }, leave] = useAttempt(() => signOut(`${window.location.origin}/`));
  const { hasEnded } = useSession();
  const [name, setName] = useState<string>();

  // isLoading is true in every call of the SDK. Only before the first time that
  // it is false does it mean that nobody knows yet who is here; a page that came
  // and went with it would lose its state with each getAccessToken.
  const [known, setKnown] = useState(false);
  useEffect(() => {
    if (!isLoading) setKnown(true);
  }, [isLoading]);

  useEffect(() => {
    if (!isAuthenticated) return;
    void getIdTokenClaims().then((claims) => setName(claims?.name ?? claims?.username ?? claims?.sub));
  }, [isAuthenticated, getIdTokenClaims]);

  return (
    <>
      <a className="skip" href="#content">
        Skip to the content
      </a>
      <header>
        <nav aria-label="Pages">
          <NavLink to="/" end>
            Home
          </NavLink>
          <NavLink to="/protected">Protected page</NavLink>
        </nav>
        {isAuthenticated && (
          <div className="row">
            {name && <span className="quiet">{name}</span>}
            <button className="small" aria-disabled={busy} onClick={leave}>
              Sign out
            </button>
          </div>
        )}
      </header>
      <main id="content" tabIndex={-1}>
        <div role="alert">
          {hasEnded && (
            <p className="answer bad">
              <strong>You have been signed out.</strong> Your session has ended, or your account was suspended.
            </p>
          )}
          {failure && (
            <p className="answer bad">
              <strong>You are still signed in.</strong> The sign-in can’t be reached; try again in a moment. ({failure})
            </p>
          )}
        </div>
        {known ? <Outlet /> : <p className="quiet spinner">Loading…</p>}
      </main>
    </>
  );
}
